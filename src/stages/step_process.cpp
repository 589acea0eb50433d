#include "stages/step_process.h"

#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>

#include "steerlm/core/error.h"
#include "steerlm/core/stop.h"

namespace steerlm {

ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& input) {
  std::FILE* file = std::tmpfile();
  if (file == nullptr || std::fwrite(input.data(), 1, input.size(), file) != input.size() || std::fflush(file) != 0) {
    const int error = errno;
    if (file != nullptr) std::fclose(file);
    fail(ExitCode::resources, {.what = std::string("cannot write a temporary file: ") + std::strerror(error)});
  }
  std::rewind(file);
  std::vector<char*> argv{const_cast<char*>(program.c_str())};
  for (const std::string& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
  argv.push_back(nullptr);
  const pid_t parent = ::getpid();
  const pid_t child = ::fork();
  if (child < 0) {
    const int error = errno;
    std::fclose(file);
    fail(ExitCode::resources, {.what = std::string("cannot start a process: ") + std::strerror(error)});
  }
  if (child == 0) {
    // The kernel ends the child with the parent; a parent that ended before this call is no parent any more.
    if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0 || ::getppid() != parent) ::_exit(127);
    ::dup2(::fileno(file), STDIN_FILENO);
    ::setpgid(0, 0);  // a Ctrl-C reaches the step once, through us
    ::execv(program.c_str(), argv.data());
    ::_exit(127);
  }
  std::fclose(file);
  bool passed_on = false;
  for (;;) {
    int status = 0;
    rusage usage{};
    if (::wait4(child, &status, WNOHANG, &usage) == child) {
      return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), usage.ru_maxrss * 1024};
    }
    if (stop_requested() && !passed_on) {
      ::kill(child, SIGTERM);
      passed_on = true;
    }
    ::usleep(20'000);
  }
}

}  // namespace steerlm
