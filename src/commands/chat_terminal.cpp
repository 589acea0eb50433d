#include "commands/chat_terminal.h"

#include <fcntl.h>
#include <poll.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

std::atomic<bool> flag{false};
// A thread of the computation may take the signal, which then ends no call of the thread that waits; a byte in a pipe
// does.
std::array<int, 2> wake_pipe{-1, -1};

void handle(int) {
  const int before = errno;
  flag.store(true);
  [[maybe_unused]] const ssize_t written = ::write(wake_pipe[1], "", 1);  // full: there is a byte to wake by
  errno = before;
}

[[noreturn]] void fail_to_read() {
  fail(ExitCode::resources,
       {.what = std::string("cannot be read: ") + std::strerror(errno), .where = "standard input"});
}

}  // namespace

void catch_interrupts() {
  if (::pipe2(wake_pipe.data(), O_CLOEXEC | O_NONBLOCK) != 0) {
    fail(ExitCode::resources, {.what = std::string("cannot make a pipe: ") + std::strerror(errno)});
  }
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);
}

bool interrupted() { return flag.load(); }

void clear_interrupt() {
  flag.store(false);
  std::array<char, 64> bytes;
  while (::read(wake_pipe[0], bytes.data(), bytes.size()) > 0) {
  }
}

ChatTerminal::ChatTerminal() : interactive_(::isatty(STDIN_FILENO) == 1) {}

ChatTerminal::Input ChatTerminal::next_line(std::string& line) {
  for (;;) {
    const size_t end = read_.find('\n');
    if (end != std::string::npos || (ended_ && !read_.empty())) {
      line = read_.substr(0, end);
      read_.erase(0, end == std::string::npos ? end : end + 1);
      if (line.ends_with('\r')) line.pop_back();
      return Input::line;
    }
    if (ended_) return Input::end;
    std::array<pollfd, 2> files{pollfd{STDIN_FILENO, POLLIN, 0}, pollfd{wake_pipe[0], POLLIN, 0}};
    if (::poll(files.data(), files.size(), -1) < 0 && errno != EINTR) fail_to_read();
    if (interrupted()) {
      clear_interrupt();
      read_.clear();
      return Input::interrupt;
    }
    if (files[0].revents == 0) continue;
    std::array<char, 4096> bytes;
    const ssize_t count = ::read(STDIN_FILENO, bytes.data(), bytes.size());
    if (count < 0 && errno != EINTR && errno != EAGAIN) fail_to_read();
    if (count == 0) ended_ = true;
    if (count > 0) read_.append(bytes.data(), static_cast<size_t>(count));
  }
}

}  // namespace steerlm
