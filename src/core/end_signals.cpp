#include "core/end_signals.h"

#include <unistd.h>

#include <array>
#include <atomic>
#include <climits>
#include <csignal>

namespace steerlm {
namespace {

// A handler may not allocate: the paths are in fixed places. More than these are left behind by a signal.
struct Place {
  std::atomic<bool> used{false};
  char path[PATH_MAX] = {};
};
std::array<Place, 32> places;

void remove_and_end(int signal) {
  for (const Place& place : places) {
    if (place.used.load()) ::unlink(place.path);
  }
  std::signal(signal, SIG_DFL);
  std::raise(signal);
}

void handle(int signal) {
  struct sigaction now {};
  if (::sigaction(signal, nullptr, &now) != 0 || now.sa_handler != SIG_DFL) return;
  struct sigaction action {};
  action.sa_handler = remove_and_end;
  ::sigaction(signal, &action, nullptr);
}

}  // namespace

void remove_at_signal(const Path& path) {
  for (Place& place : places) {
    if (place.used.load() || path.native().size() >= sizeof place.path) continue;
    path.native().copy(place.path, sizeof place.path - 1);
    place.path[path.native().size()] = '\0';
    place.used.store(true);
    break;
  }
  for (const int signal : {SIGINT, SIGTERM, SIGHUP}) handle(signal);
}

void forget_at_signal(const Path& path) {
  for (Place& place : places) {
    if (place.used.load() && path == place.path) place.used.store(false);
  }
}

}  // namespace steerlm
