#include <dlfcn.h>
#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <iterator>
#include <latch>
#include <string>
#include <system_error>
#include <thread>
#include <vector>

#include "cli/app.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/stop.h"

namespace steerlm {
namespace {

constexpr const char* library_name = "libsteerlm_compute.so";

// A thread that waits for others looks for them some microseconds long (600 rounds), which is as long as a decoding
// step does between its products, and then sleeps. OpenMP's default, to spin for milliseconds, slows two jobs on the
// same cores to a twentieth (docs/bench.md). libgomp reads this once, when it is loaded. What the user has set holds.
void let_waiting_threads_sleep() {
  for (const char* name : {"OMP_WAIT_POLICY", "GOMP_SPINCOUNT"}) {
    if (std::getenv(name) != nullptr) return;
  }
  ::setenv("OMP_WAIT_POLICY", "passive", 1);
  ::setenv("GOMP_SPINCOUNT", "600", 1);
}

[[noreturn]] void refuse_library(const std::string& reason) {
  const auto says = [&](const char* words) { return reason.find(words) != std::string::npos; };
  if (says("failed to map segment") || says("annot allocate memory") || says("Too many open files")) {
    fail(ExitCode::resources,
         {.what = "cannot load the half of the program that computes: too little memory, or too low a limit",
          .where = library_name,
          .found = reason,
          .advice = "raise the limits: ulimit -v unlimited, ulimit -n 1024"});
  }
  fail(ExitCode::resources, {.what = "cannot load the half of the program that computes",
                             .where = library_name,
                             .found = reason,
                             .expected = "the file of the same build, in lib/ beside the program or in ../lib/steerlm",
                             .advice = "keep program and libraries together: copy the build folder or the installed "
                                       "tree as a whole, or build again"});
}

// A folder that was removed, or whose path is over PATH_MAX, has no name. MKL asks for it when it is loaded, to find
// its libraries, and ends the process where there is none: it is loaded from the root then.
void* open_library() {
  char name[PATH_MAX];
  if (::getcwd(name, sizeof name) != nullptr) return ::dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  const int here = ::open(".", O_PATH | O_DIRECTORY | O_CLOEXEC);
  if (here < 0 || ::chdir("/") != 0) fail_file("leave the folder", ".", errno);
  void* const library = ::dlopen(library_name, RTLD_NOW | RTLD_LOCAL);
  if (::fchdir(here) != 0) fail_file("go back to the folder", ".", errno);
  ::close(here);
  return library;
}

// Loading takes a quarter of a second, longer where the disk is asked, and a batch system does not wait for it with its
// signals.
void* load_library() {
  install_stop_handlers(true);
  void* const library = open_library();
  remove_stop_handlers();
  if (!stop_requested()) return library;
  std::fputs("warning: stopped on request before anything was begun; the same command begins\n", stderr);
  ::_exit(static_cast<int>(ExitCode::stopped));
}

// Starts as many threads as the computing will, and ends them: where a limit forbids one, OpenMP ends the process later
// with a message of its own and exit 1.
void check_threads(void* library) {
  const auto most = reinterpret_cast<int (*)()>(::dlsym(library, "omp_get_max_threads"));
  const int count = most == nullptr ? 1 : most();
  std::latch all_started(1);
  std::vector<std::jthread> threads;
  try {
    while (std::ssize(threads) < count) threads.emplace_back([&] { all_started.wait(); });
  } catch (const std::system_error&) {
    all_started.count_down();
    fail(ExitCode::resources,
         {.what = "cannot start the threads that compute: a limit on processes and threads, or too little memory",
          .found = std::to_string(threads.size()) + " threads",
          .expected = std::to_string(count),
          .advice = "raise the limit (ulimit -u), or set OMP_NUM_THREADS to less"});
  }
  all_started.count_down();
}

}  // namespace

const ComputeCommands& load_compute_commands() {
  let_waiting_threads_sleep();
  void* const library = load_library();
  if (library == nullptr) refuse_library(::dlerror());
  const auto commands =
      reinterpret_cast<decltype(&steerlm_compute_commands)>(::dlsym(library, "steerlm_compute_commands"));
  if (commands == nullptr) refuse_library(::dlerror());
  if (commands().build != STEERLM_COMPUTE) refuse_library("a library of another build");
  check_threads(library);
  return commands();
}

}  // namespace steerlm
