// safetensors files as named tensors.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/store/safetensors_header.h"

namespace steerlm {

class InputFile;

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
  at::ScalarType dtype(const std::string& name) const;
  at::Tensor read(const std::string& name) const;  // on the CPU, owns its memory, dtype as stored
  const Path& path() const;

 private:
  explicit SafetensorsFile(std::unique_ptr<InputFile> file);

  std::unique_ptr<InputFile> file_;
  SafetensorsHeader header_;
  std::map<std::string, size_t> index_;
};

struct WrittenFile {
  std::int64_t size = 0;
  std::string sha256;
};

// Tensors whose values are fetched one by one, so that a model need not be in memory as a whole.
struct TensorSource {
  struct Entry {
    std::string name;
    std::vector<std::int64_t> shape;
    at::ScalarType dtype;  // that it is written in; `read` may give another
    std::uint64_t bytes() const;
  };
  std::vector<Entry> entries;
  std::function<at::Tensor(const std::string& name)> read;

  void set_floating_dtype(at::ScalarType dtype);  // of what is written
};
TensorSource in_memory(const NamedTensors& tensors);  // shared, not copied

// Writes and fsyncs `path` itself: the caller renames what must appear at once. Wider dtypes come
// first, else the given order is kept, so that every tensor is aligned to its dtype; equal input
// gives equal bytes. Tensors may be on any device and strided; each is fetched once, let go before
// the next one, and rounded to nearest even. Throws resources; model: a finite value is infinite in
// the dtype that it is written in.
WrittenFile write_safetensors(const Path& path, const TensorSource& tensors,
                              const std::map<std::string, std::string>& metadata);
WrittenFile write_safetensors(const Path& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata);

}  // namespace steerlm
