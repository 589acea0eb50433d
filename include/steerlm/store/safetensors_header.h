// The header of a safetensors file: 8 bytes of length, little-endian, a JSON object, then the
// tensors' bytes without a hole. The rules are those of the reference reader
// (github.com/huggingface/safetensors, README and safetensors/src/tensor.rs). Untrusted input:
// whatever breaks a rule throws model, naming the file and the tensor. No torch in this half.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steerlm {

struct TensorInfo {
  std::string dtype;  // as the format spells it: "F32", "BF16", …
  std::vector<std::int64_t> shape;
  std::uint64_t begin = 0;  // in bytes from the end of the header
  std::uint64_t end = 0;
};

struct SafetensorsHeader {
  std::map<std::string, std::string> metadata;
  std::vector<std::pair<std::string, TensorInfo>> tensors;  // in the order of their bytes
  std::uint64_t data_offset = 0;                            // of the first tensor's bytes in the file
};

inline constexpr std::uint64_t safetensors_length_bytes = 8;
inline constexpr std::uint64_t max_safetensors_header_bytes = 100'000'000;

// Size in bits of an element; 0: the format has no such dtype.
std::uint64_t safetensors_dtype_bits(std::string_view dtype);

// Length of the JSON, from the first bytes of a file (8, or all of a shorter one) and its size.
std::uint64_t safetensors_header_length(std::string_view first_bytes, std::uint64_t file_size,
                                        const std::string& where);

// The JSON text behind the length. `data_size`: bytes of the file behind the header, which the
// tensors must fill exactly.
SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size, const std::string& where);

// Length and JSON, padded with spaces to a multiple of 8. Offsets of `tensors` are written as they
// are.
std::string format_safetensors_header(const SafetensorsHeader& header);

}  // namespace steerlm
