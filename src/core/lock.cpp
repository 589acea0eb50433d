#include "steerlm/core/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace steerlm {

DirectoryLock::DirectoryLock(const Path& directory, const Path& file) {
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor_ < 0) fail_file("lock the folder", directory, errno);
  // A killed process holds its lock until its memory has been given back.
  constexpr int tries = 10;
  for (int i = 0; ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno == EWOULDBLOCK && i < tries) {
      ::usleep(100'000);
      continue;
    }
    const int error = errno;
    ::close(descriptor_);
    if (error != EWOULDBLOCK) fail_file("lock the folder", directory, error);
    fail(ExitCode::resources, {.what = "the folder is in use by another process",
                               .where = directory.string(),
                               .advice = "wait until that run has ended, or choose another run_dir"});
  }
}

DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

OutputLock::OutputLock(const std::string& output, Path lock) : lock_(std::move(lock)) {
  for (;;) {
    descriptor_ = ::open(lock_.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    struct stat held {
    }, there{};
    if (descriptor_ < 0) {
      const int error = errno;
      if (::lstat(lock_.c_str(), &there) != 0) fail_file("lock the output", lock_, error);
      fail(ExitCode::resources, {.what = std::string("cannot lock the output: ") + std::strerror(error),
                                 .where = lock_.string(),
                                 .advice = "choose another output, or remove the file"});
    }
    if (::fstat(descriptor_, &held) != 0 || !S_ISREG(held.st_mode) || held.st_size > 0) {
      ::close(descriptor_);
      fail(ExitCode::resources, {.what = "a file that this run did not write is in the way",
                                 .where = lock_.string(),
                                 .advice = "choose another output, or remove the file"});
    }
    if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
      const int error = errno;
      ::close(descriptor_);
      if (error != EWOULDBLOCK) fail_file("lock the output", lock_, error);
      fail(ExitCode::resources, {.what = "another process writes this output",
                                 .where = output,
                                 .advice = "wait until it has ended, or choose another output"});
    }
    // Whoever held it before may have removed the file after it was opened here.
    if (::lstat(lock_.c_str(), &there) == 0 && held.st_ino == there.st_ino && held.st_dev == there.st_dev) return;
    ::close(descriptor_);
  }
}

OutputLock::~OutputLock() {
  ::unlink(lock_.c_str());
  ::close(descriptor_);
}

}  // namespace steerlm
