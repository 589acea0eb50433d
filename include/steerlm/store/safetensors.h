// safetensors files as named tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/store/safetensors_header.h"

namespace steerlm {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// An open file whose header has been checked. Tensors are read one by one with pread(2), so that a
// file that another process shortens is an error and not a SIGBUS. All failures throw model, naming
// the file and the tensor.
class SafetensorsFile {
 public:
  static SafetensorsFile open(const Path& path);
  SafetensorsFile(SafetensorsFile&& other) noexcept;
  ~SafetensorsFile();

  const SafetensorsHeader& header() const { return header_; }
  std::vector<std::string> names() const;  // in the order of their bytes
  const TensorInfo& info(const std::string& name) const;
  at::Tensor read(const std::string& name) const;  // on the CPU, owns its memory, dtype as stored
  const Path& path() const { return path_; }

 private:
  SafetensorsFile() = default;

  Path path_;
  int descriptor_ = -1;
  SafetensorsHeader header_;
  std::map<std::string, size_t> index_;
};

struct WrittenFile {
  std::int64_t size = 0;
  std::string sha256;
};

// Writes and fsyncs `path` itself: the caller renames what must appear at once. Wider dtypes come
// first, else the given order is kept, so that every tensor is aligned to its dtype; equal input
// gives equal bytes. Tensors may be on any device and strided; one at a time is copied. `dtype`:
// floating-point tensors are written in it. Throws resources.
WrittenFile write_safetensors(const Path& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata,
                              std::optional<at::ScalarType> dtype = std::nullopt);

}  // namespace steerlm
