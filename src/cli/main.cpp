#include <fcntl.h>
#include <malloc.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <exception>

#include "cli/app.h"
#include "steerlm/core/error.h"

namespace {

// `steerlm … | head`: the reader has all that it wants. Commands with a run directory ignore the signal and go on.
void end_quietly(int) { ::_exit(static_cast<int>(steerlm::ExitCode::resources)); }

// An exception that nobody caught, in another thread say, ends like one that reached run_caught.
[[noreturn]] void end_uncaught() {
  ::_exit(steerlm::run_caught([]() -> int {
    if (const std::exception_ptr thrown = std::current_exception()) std::rethrow_exception(thrown);
    throw std::bad_exception();
  }));
}

// A descriptor 0, 1 or 2 that the caller has closed would be the next file that is opened, and messages would be
// written into it. What takes its place can be neither read nor written, as if it were closed still.
void occupy_standard_files() {
  for (const int descriptor : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(descriptor, F_GETFD) < 0 && errno == EBADF) ::open("/dev/null", O_PATH);
  }
}

}  // namespace

int main(int argc, char** argv) {
  occupy_standard_files();
  std::set_terminate(end_uncaught);
  std::signal(SIGPIPE, end_quietly);
  std::signal(SIGCHLD, SIG_DFL);  // a parent may hand it on ignored; a process of ours could not be waited for then
  std::signal(SIGXFSZ, SIG_IGN);  // a file that grows over `ulimit -f` is a failed write with a message
  // Every step allocates and frees the same large buffers. Kept in the heap, their pages need not be mapped and zeroed
  // anew each time.
  ::mallopt(M_MMAP_THRESHOLD, 1 << 30);
  ::mallopt(M_TRIM_THRESHOLD, 1 << 30);
  ::mallopt(M_TOP_PAD, 64 << 20);
  return steerlm::run_program(argc, argv, steerlm::load_compute_commands);
}
