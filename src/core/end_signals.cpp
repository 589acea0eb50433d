#include "core/end_signals.h"

#include <fcntl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <climits>
#include <csignal>
#include <cstdint>
#include <cstring>

namespace steerlm {
namespace {

// A handler may not allocate: the paths are in fixed places. More than these are left behind by a signal.
struct Place {
  std::atomic<bool> used{false};
  char path[PATH_MAX] = {};
};
std::array<Place, 32> places;

// A folder of files, as model folders are. opendir() allocates, which a handler may not; the system call does not.
void remove_folder(const char* path) {
  const int folder = ::open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
  if (folder < 0) return;
  alignas(std::uint64_t) char entries[4096];
  constexpr long length_at = 16, name_at = 19;  // struct linux_dirent64: inode, offset, length, type, name
  for (long size = 0; (size = ::syscall(SYS_getdents64, folder, entries, sizeof entries)) > 0;) {
    for (long at = 0; at < size;) {
      std::uint16_t length = 0;
      std::memcpy(&length, entries + at + length_at, sizeof length);
      ::unlinkat(folder, entries + at + name_at, 0);  // "." and ".." are folders, which this refuses
      at += length;
    }
  }
  ::close(folder);
  ::rmdir(path);
}

void remove_and_end(int signal) {
  for (const Place& place : places) {
    if (place.used.load() && ::unlink(place.path) != 0 && errno != ENOENT) remove_folder(place.path);
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
  for (const int signal : {SIGINT, SIGTERM, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2}) handle(signal);
}

void forget_at_signal(const Path& path) {
  for (Place& place : places) {
    if (place.used.load() && path == place.path) place.used.store(false);
  }
}

}  // namespace steerlm
