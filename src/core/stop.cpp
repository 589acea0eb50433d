#include "steerlm/core/stop.h"

#include <unistd.h>

#include <atomic>
#include <csignal>

namespace steerlm {
namespace {

std::atomic<bool> requested{false};
std::atomic<int> interrupts{0};

void handle(int signal) {
  if (signal == SIGINT && interrupts.fetch_add(1) > 0) ::_exit(130);
  requested.store(true);
}

}  // namespace

void install_stop_handlers() {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  std::signal(SIGPIPE, SIG_IGN);  // a closed pipe is a failed write with a message
}

bool stop_requested() { return requested.load(); }
void request_stop() { requested.store(true); }
void clear_stop() { requested.store(false); }

}  // namespace steerlm
