// One process at a time in a folder, by flock(2): the kernel drops the lock with the process, so a kill leaves none
// behind.
#pragma once

#include "steerlm/core/fs.h"

namespace steerlm {

class DirectoryLock {
 public:
  // Locks `directory/.lock`. Throws resources, naming the folder, when another process holds it.
  explicit DirectoryLock(const Path& directory);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace steerlm
