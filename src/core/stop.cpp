#include "steerlm/core/stop.h"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <iterator>

namespace steerlm {
namespace {

std::atomic<bool> requested{false};
std::atomic<int> interrupts{0};

void handle(int signal) {
  if (signal == SIGINT && interrupts.fetch_add(1) > 0) ::_exit(130);
  requested.store(true);
}

// A terminal that is closed, and what batch systems send before they end a job: SIGXCPU where its time is used up,
// SIGUSR1 and SIGUSR2 as a warning.
constexpr int warnings[] = {SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2};

}  // namespace

void install_stop_handlers() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  for (const int signal : warnings) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);  // nohup ignores SIGHUP
  }
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a failed write with a message
}

bool is_stop_signal(int signal) {
  return signal == SIGTERM || signal == SIGINT || std::ranges::find(warnings, signal) != std::end(warnings);
}

bool stop_requested() { return requested.load(); }
void request_stop() { requested.store(true); }
void clear_stop() { requested.store(false); }

}  // namespace steerlm
