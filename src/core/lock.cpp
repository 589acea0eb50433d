#include "steerlm/core/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace steerlm {

DirectoryLock::DirectoryLock(const Path& directory, const Path& file) {
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
  if (descriptor_ < 0) {
    fail(ExitCode::resources,
         {.what = std::string("cannot lock the folder: ") + std::strerror(errno), .where = directory.string()});
  }
  // A killed process holds its lock until its memory has been given back.
  constexpr int tries = 10;
  for (int i = 0; ::flock(descriptor_, LOCK_EX | LOCK_NB) != 0; ++i) {
    if (errno == EWOULDBLOCK && i < tries) {
      ::usleep(100'000);
      continue;
    }
    const int error = errno;
    ::close(descriptor_);
    if (error != EWOULDBLOCK) {
      fail(ExitCode::resources,
           {.what = std::string("cannot lock the folder: ") + std::strerror(error), .where = directory.string()});
    }
    fail(ExitCode::resources, {.what = "the folder is in use by another process",
                               .where = directory.string(),
                               .advice = "wait until that run has ended, or choose another run_dir"});
  }
}

DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

}  // namespace steerlm
