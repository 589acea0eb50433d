// A file of weights that is open for reading. Its bytes are fetched with pread(2), so that a file that another process
// shortens is an error and not a SIGBUS.
#pragma once

#include <cstdint>
#include <string>

#include "steerlm/core/fs.h"

namespace steerlm {

class InputFile {
 public:
  // Throws model: not there, not readable, no regular file ("expected `kind`"), a Git LFS pointer.
  InputFile(const Path& path, const std::string& kind);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();

  const Path& path() const { return path_; }
  std::uint64_t size() const { return size_; }
  // Exactly `count` bytes from `offset`. Throws model where they cannot be had: "cannot read `what`: …".
  void read(char* target, std::uint64_t count, std::uint64_t offset, const std::string& what) const;

 private:
  Path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

}  // namespace steerlm
