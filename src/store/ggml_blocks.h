// The tensor types of ggml that are read: numbers in blocks, each a scale and a few bits a number. Layouts are those of
// ggml-common.h, the numbers those of dequantize_row_* in ggml-quants.c (github.com/ggml-org/llama.cpp).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace steerlm {

// The numbers are those of the file format (enum ggml_type).
enum class GgmlType : std::uint32_t {
  f32 = 0,
  f16 = 1,
  q4_0 = 2,
  q4_1 = 3,
  q5_0 = 6,
  q5_1 = 7,
  q8_0 = 8,
  q4_k = 12,
  q5_k = 13,
  q6_k = 14,
  bf16 = 30
};

struct GgmlBlock {
  GgmlType type;
  std::string_view name;
  std::uint64_t numbers;  // of a block; blocks do not cross rows
  std::uint64_t bytes;    // of a block
};

// Nothing: a type that is not read.
std::optional<GgmlBlock> find_ggml_block(std::uint32_t type);
const GgmlBlock& ggml_block(GgmlType type);
// "Q2_K", also of types that are not read; "type 99" where ggml has none of that number.
std::string ggml_type_name(std::uint32_t type);
// "F32, F16, …"
std::string read_ggml_types();

// `count` blocks at `blocks` as numbers in fp32: count * ggml_block(type).numbers of them at `out`. The products and
// sums are rounded one by one, as the `gguf` package of Python does.
void dequantize(GgmlType type, const unsigned char* blocks, std::uint64_t count, float* out);

}  // namespace steerlm
