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

// One process at a time that writes `output`, by an empty file `lock` beside it, which goes when the process is done. A
// kill leaves the file, which locks nothing then. Throws resources: another process writes the output; the file cannot
// be made, or something else has its name.
class OutputLock {
 public:
  OutputLock(const std::string& output, Path lock);
  ~OutputLock();
  OutputLock(const OutputLock&) = delete;
  OutputLock& operator=(const OutputLock&) = delete;

 private:
  Path lock_;
  int descriptor_ = -1;
};

}  // namespace steerlm
