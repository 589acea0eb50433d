#include "steerlm/core/lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace steerlm {

DirectoryLock::DirectoryLock(const Path& directory) {
  const Path file = directory / ".lock";
  descriptor_ = ::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (descriptor_ < 0) {
    fail(ExitCode::resources,
         {.what = std::string("cannot lock the folder: ") + std::strerror(errno), .where = directory.string()});
  }
  if (::flock(descriptor_, LOCK_EX | LOCK_NB) != 0) {
    ::close(descriptor_);
    fail(ExitCode::resources, {.what = "the folder is in use by another process",
                               .where = directory.string(),
                               .advice = "wait until that run has ended, or choose another run_dir"});
  }
}

DirectoryLock::~DirectoryLock() { ::close(descriptor_); }

}  // namespace steerlm
