// GGUF files of llama.cpp: a model in one file, keys and values first, then tensors in blocks of few bits
// (github.com/ggml-org/ggml, gguf.md). Versions 2 and 3, little-endian. Untrusted input: every size is held
// against the file's before anything is allocated, and whatever breaks a rule throws model, naming the file and the key
// or tensor.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <variant>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

class InputFile;
enum class GgmlType : std::uint32_t;

// An array whose elements nothing here needs; they are not kept.
struct GgufSkippedArray {
  std::uint64_t count = 0;
  bool operator==(const GgufSkippedArray&) const = default;
};
// Unsigned and signed integers of any width, floats as wide as they are written, texts, and arrays of the three kinds
// that tokenizers are written in.
using GgufValue = std::variant<std::uint64_t, std::int64_t, float, double, bool, std::string, std::vector<std::string>,
                               std::vector<std::int32_t>, std::vector<float>, GgufSkippedArray>;

struct GgufTensor {
  std::string name;
  GgmlType type;
  std::vector<std::int64_t> shape;  // outermost dimension first, as PyTorch has it; the file has them reversed
  std::uint64_t offset = 0;         // of its bytes in the file
  std::uint64_t bytes = 0;
};

inline constexpr std::uint64_t max_gguf_header_bytes = 100'000'000;  // the largest in use have 20 MB

// An open file whose header has been checked:
//   "GGUF", version, number of tensors, number of keys; keys and values; names, shapes, types and offsets of tensors;
//   from the next multiple of general.alignment (32) on the tensors, each from a multiple of it, in any order, with no
//   hole but what aligns them, and nothing behind the last.
// No key and no tensor is there twice; a tensor has 1 to 4 dimensions, none of them 0, and whole blocks in a row.
class GgufFile {
 public:
  static GgufFile open(const Path& path);
  GgufFile(GgufFile&& other) noexcept;
  ~GgufFile();

  const Path& path() const;
  const std::vector<std::pair<std::string, GgufValue>>& values() const { return values_; }  // in the file's order
  const GgufValue* find_value(const std::string& key) const;                                // nullptr: no such key
  const std::vector<GgufTensor>& tensors() const { return tensors_; }                       // in the file's order
  const GgufTensor* find_tensor(const std::string& name) const;                             // nullptr: no such tensor
  // In fp32 on the CPU. Beside the result a megabyte is needed.
  at::Tensor read(const GgufTensor& tensor) const;

 private:
  explicit GgufFile(std::unique_ptr<InputFile> file);

  std::unique_ptr<InputFile> file_;
  std::vector<std::pair<std::string, GgufValue>> values_;
  std::vector<GgufTensor> tensors_;
  std::unordered_map<std::string, size_t> value_index_, tensor_index_;
};

}  // namespace steerlm
