// One process at a time in a folder, by flock(2): the kernel drops the lock with the process, so a kill leaves none
// behind.
#pragma once

#include "steerlm/core/fs.h"

namespace steerlm {

class DirectoryLock {
 public:
  // Locks `file`, which stands for `directory`. Throws resources, naming the folder, when another process holds it for
  // longer than a process takes to end that was killed just now.
  DirectoryLock(const Path& directory, const Path& file);
  ~DirectoryLock();
  DirectoryLock(const DirectoryLock&) = delete;
  DirectoryLock& operator=(const DirectoryLock&) = delete;

 private:
  int descriptor_;
};

}  // namespace steerlm
