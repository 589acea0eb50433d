#include "stages/step_process.h"

#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstring>
#include <string_view>

#include "steerlm/core/fs.h"
#include "steerlm/core/stop.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

bool is_exit_code(int code) { return (code >= 2 && code <= 6) || code == 70 || code == 75 || code == 130; }

// A file that is not this program, or not whole, ends with a code that this program does not have: 127 of a shell.
[[noreturn]] void refuse_program(const std::string& program, int code) {
  const bool runs = ::access(program.c_str(), X_OK) == 0;
  fail(ExitCode::resources,
       {.what = "the program of the steps cannot be run any more",
        .where = program,
        .found = runs ? "exit code " + std::to_string(code) + ", which it does not have" : std::strerror(errno),
        .expected = "steerlm and its libraries as they were at the beginning",
        .advice = "put them back and give the same command again, which goes on"});
}

// A time limit goes along, and the step obeys it as its own: once it has got anywhere. A signal from here would stop it
// before, again and again.
std::vector<std::string> step_environment() {
  std::vector<std::string> entries;
  const std::string limit = stop_entry();
  const std::string name = limit.substr(0, limit.find('=') + 1);
  for (char** entry = environ; *entry != nullptr; ++entry) {
    if (limit.empty() || !std::string_view(*entry).starts_with(name)) entries.emplace_back(*entry);
  }
  if (!limit.empty()) entries.push_back(limit);
  return entries;
}

}  // namespace

ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& input) {
  const int memory = ::memfd_create("recipe", MFD_CLOEXEC);
  if (memory < 0) fail_file("make a file in memory for the recipe of a step", program, errno);
  OutputFile file("the recipe of a step", memory);
  file.write(input);
  ::lseek(memory, 0, SEEK_SET);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  std::vector<std::string> environment = step_environment();
  std::vector<char*> envp;
  for (std::string& entry : environment) envp.push_back(entry.data());
  envp.push_back(nullptr);
  // A signal between fork(2) and execv(2) would only set a flag of ours in the child, which its program knows nothing
  // of: the child waits with it until it is one that ends it.
  sigset_t stops, before;
  sigfillset(&stops);
  ::pthread_sigmask(SIG_BLOCK, &stops, &before);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  const int error = errno;
  if (child != 0) ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  if (child < 0) {
    fail(ExitCode::resources, {.what = std::string("cannot start a process: ") + std::strerror(error),
                               .where = program,
                               .advice = error == EAGAIN ? "raise the limit of processes: ulimit -u"
                                                         : "free some memory and give the same command again"});
  }
  if (child == 0) {
    // The kernel ends the child with the parent; a parent that ended before this call is no parent any more.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(127);
    ::dup2(memory, STDIN_FILENO);
    ::setpgid(0, 0);  // a Ctrl-C reaches the step once, through us
    remove_stop_handlers();
    ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
    ::execve(program.c_str(), argv.data(), envp.data());
    ::_exit(127);
  }
  bool passed_on = false;
  for (;;) {
    int status = 0;
    rusage usage{};
    const pid_t ended = ::wait4(child, &status, WNOHANG, &usage);
    if (ended == child)
      return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), !WIFEXITED(status),
              usage.ru_maxrss * 1024};
    if (ended < 0 && errno != EINTR) {
      fail(ExitCode::resources, {.what = std::string("cannot wait for a process: ") + std::strerror(errno),
                                 .where = program,
                                 .advice = "give the same command again, which goes on"});
    }
    if (stop_signalled() && !passed_on) {
      ::kill(child, SIGTERM);
      passed_on = true;
    }
    ::usleep(20'000);
  }
}

int run_step(const StepProcess& step, const std::string& program, const Context& context) {
  if (stop_signalled()) {
    context.log->info(step.title + ": stopped before it began; the same command goes on");
    return static_cast<int>(ExitCode::stopped);
  }
  context.log->info(step.title);
  const auto begin = std::chrono::steady_clock::now();
  const auto [code, killed, peak_memory] = run_process(program, step.arguments, step.input);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  if (code == 0) {
    context.log->info(fmt::format("{}: done in {}, at most {} of memory", step.title, format_duration(seconds),
                                  format_bytes(peak_memory)));
  } else if (code == static_cast<int>(ExitCode::stopped)) {
    context.log->info(step.title + ": stopped; the same command goes on");
  } else if (killed && code == 128 + SIGKILL) {
    context.log->error(
        step.title +
        ": something ended the process (signal 9), as the system does where memory runs out or a limit of "
        "processor time is reached; "
        "make train.micro_batch_tokens or batch_tokens smaller, or give the same command again");
    return static_cast<int>(ExitCode::resources);
  } else if (killed && is_stop_signal(code - 128)) {
    context.log->info(step.title + ": stopped before it began; the same command goes on");
    return static_cast<int>(ExitCode::stopped);
  } else if (killed) {
    context.log->error(
        fmt::format("{}: signal {} ended the process; this is a mistake of steerlm itself, please report it",
                    step.title, code - 128));
    return static_cast<int>(ExitCode::bug);
  } else if (!is_exit_code(code)) {
    refuse_program(program, code);
  } else {
    context.log->error(fmt::format("{} ended with exit code {}", step.title, code));
  }
  return code;
}

}  // namespace steerlm
