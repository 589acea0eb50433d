#include "store/ggml_blocks.h"

#include <c10/util/Half.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <stdexcept>

#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

constexpr std::array<GgmlBlock, 11> block_kinds{{
    {GgmlType::f32, "F32", 1, 4},
    {GgmlType::f16, "F16", 1, 2},
    {GgmlType::bf16, "BF16", 1, 2},
    {GgmlType::q8_0, "Q8_0", 32, 34},
    {GgmlType::q4_0, "Q4_0", 32, 18},
    {GgmlType::q4_1, "Q4_1", 32, 20},
    {GgmlType::q5_0, "Q5_0", 32, 22},
    {GgmlType::q5_1, "Q5_1", 32, 24},
    {GgmlType::q4_k, "Q4_K", 256, 144},
    {GgmlType::q5_k, "Q5_K", 256, 176},
    {GgmlType::q6_k, "Q6_K", 256, 210},
}};

constexpr std::array<std::pair<std::uint32_t, std::string_view>, 22> other_names{
    {{9, "Q8_1"},     {10, "Q2_K"},  {11, "Q3_K"},   {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},
     {18, "IQ3_XXS"}, {19, "IQ1_S"}, {20, "IQ4_NL"}, {21, "IQ3_S"}, {22, "IQ2_S"},   {23, "IQ4_XS"},
     {24, "I8"},      {25, "I16"},   {26, "I32"},    {27, "I64"},   {28, "F64"},     {29, "IQ1_M"},
     {34, "TQ1_0"},   {35, "TQ2_0"}, {39, "MXFP4"},  {40, "NVFP4"}}};

std::uint32_t little_endian(const unsigned char* bytes, int count) {
  std::uint32_t value = 0;
  for (int i = 0; i < count; ++i) value |= std::uint32_t{bytes[i]} << (8 * i);
  return value;
}

float half(const unsigned char* bytes) {
  return c10::detail::fp16_ieee_to_fp32_value(static_cast<std::uint16_t>(little_endian(bytes, 2)));
}

float number(unsigned value) { return static_cast<float>(value); }
float number(int value) { return static_cast<float>(value); }
int as_signed(unsigned char byte) { return static_cast<signed char>(byte); }

// Bit 4 of number i of a block of 32 (Q5_0, Q5_1).
unsigned fifth_bit(std::uint32_t high, int i) { return (high >> i & 1U) << 4; }

// d, 16 bytes: number i is in the low half of byte i, number i + 16 in the high one.
void q4_0(const unsigned char* block, float* out) {
  const float d = half(block);
  const unsigned char* low = block + 2;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * number(static_cast<int>(low[i] & 15U) - 8);
    out[i + 16] = d * number(static_cast<int>(low[i] >> 4U) - 8);
  }
}

// d, m, 16 bytes
void q4_1(const unsigned char* block, float* out) {
  const float d = half(block), m = half(block + 2);
  const unsigned char* low = block + 4;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * number(low[i] & 15U) + m;
    out[i + 16] = d * number(low[i] >> 4U) + m;
  }
}

// d, 32 fifth bits, 16 bytes
void q5_0(const unsigned char* block, float* out) {
  const float d = half(block);
  const std::uint32_t high = little_endian(block + 2, 4);
  const unsigned char* low = block + 6;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * number(static_cast<int>((low[i] & 15U) | fifth_bit(high, i)) - 16);
    out[i + 16] = d * number(static_cast<int>((low[i] >> 4U) | fifth_bit(high, i + 16)) - 16);
  }
}

// d, m, 32 fifth bits, 16 bytes
void q5_1(const unsigned char* block, float* out) {
  const float d = half(block), m = half(block + 2);
  const std::uint32_t high = little_endian(block + 4, 4);
  const unsigned char* low = block + 8;
  for (int i = 0; i < 16; ++i) {
    out[i] = d * number((low[i] & 15U) | fifth_bit(high, i)) + m;
    out[i + 16] = d * number((low[i] >> 4U) | fifth_bit(high, i + 16)) + m;
  }
}

// d, 32 signed bytes
void q8_0(const unsigned char* block, float* out) {
  const float d = half(block);
  for (int i = 0; i < 32; ++i) out[i] = number(as_signed(block[2 + i])) * d;
}

// Scale and minimum, 6 bits each, of the groups of 32 of Q4_K and Q5_K. Bytes 0 to 3 and 4 to 7 hold the 6 bits of
// groups 0 to 3, and in their top bits the 2 high bits of groups 4 to 7, whose 4 low ones are in bytes 8 to 11.
struct GroupScale {
  unsigned scale, minimum;
};
GroupScale group_scale(const unsigned char* packed, size_t group) {
  if (group < 4) return {packed[group] & 63U, packed[group + 4] & 63U};
  const unsigned scale = packed[group - 4], minimum = packed[group], low = packed[group + 4];
  return {(low & 15U) | (scale >> 6U) << 4U, low >> 4U | (minimum >> 6U) << 4U};
}

// d, dmin, 12 bytes of group scales, 128 bytes: 32 of them hold two groups, the low halves and the high ones.
void q4_k(const unsigned char* block, float* out) {
  const float d = half(block), dmin = half(block + 2);
  for (size_t group = 0; group < 8; ++group) {
    const auto [scale, minimum] = group_scale(block + 4, group);
    const float step = d * number(scale), offset = dmin * number(minimum);
    const unsigned char* low = block + 16 + group / 2 * 32;
    for (size_t i = 0; i < 32; ++i) out[32 * group + i] = step * number(low[i] >> (group % 2 * 4) & 15U) - offset;
  }
}

// The same with 32 bytes before the 128, whose bit g is the fifth bit of group g.
void q5_k(const unsigned char* block, float* out) {
  const float d = half(block), dmin = half(block + 2);
  const unsigned char* high = block + 16;
  for (size_t group = 0; group < 8; ++group) {
    const auto [scale, minimum] = group_scale(block + 4, group);
    const float step = d * number(scale), offset = dmin * number(minimum);
    const unsigned char* low = block + 48 + group / 2 * 32;
    for (size_t i = 0; i < 32; ++i) {
      const unsigned q = (low[i] >> (group % 2 * 4) & 15U) | (high[i] >> group & 1U) << 4U;
      out[32 * group + i] = step * number(q) - offset;
    }
  }
}

// 128 bytes of 4 low bits, 64 of 2 high bits, 16 signed scales (one for 16 numbers), d. Of each half of 128 numbers
// the 64 low bytes hold groups 0 and 1 (low halves), 2 and 3 (high ones); the 32 high bytes 2 bits of each group.
void q6_k(const unsigned char* block, float* out) {
  const unsigned char* scales = block + 192;
  const float d = half(block + 208);
  for (size_t group = 0; group < 8; ++group) {  // of 32
    const unsigned char* low = block + group / 4 * 64 + group % 2 * 32;
    const unsigned char* high = block + 128 + group / 4 * 32;
    for (size_t i = 0; i < 32; ++i) {
      const unsigned q = (low[i] >> (group % 4 / 2 * 4) & 15U) | (high[i] >> (group % 4 * 2) & 3U) << 4U;
      const float step = d * number(as_signed(scales[2 * group + i / 16]));
      out[32 * group + i] = step * number(static_cast<int>(q) - 32);
    }
  }
}

void f32(const unsigned char* block, float* out) { *out = std::bit_cast<float>(little_endian(block, 4)); }
void f16(const unsigned char* block, float* out) { *out = half(block); }
void bf16(const unsigned char* block, float* out) { *out = std::bit_cast<float>(little_endian(block, 2) << 16U); }

using Function = void (*)(const unsigned char* block, float* out);
Function function_of(GgmlType type) {
  switch (type) {
    case GgmlType::f32:
      return f32;
    case GgmlType::f16:
      return f16;
    case GgmlType::bf16:
      return bf16;
    case GgmlType::q8_0:
      return q8_0;
    case GgmlType::q4_0:
      return q4_0;
    case GgmlType::q4_1:
      return q4_1;
    case GgmlType::q5_0:
      return q5_0;
    case GgmlType::q5_1:
      return q5_1;
    case GgmlType::q4_k:
      return q4_k;
    case GgmlType::q5_k:
      return q5_k;
    case GgmlType::q6_k:
      return q6_k;
  }
  throw std::logic_error("dequantize: no such type");
}

}  // namespace

std::optional<GgmlBlock> find_ggml_block(std::uint32_t type) {
  for (const GgmlBlock& kind : block_kinds) {
    if (static_cast<std::uint32_t>(kind.type) == type) return kind;
  }
  return std::nullopt;
}

const GgmlBlock& ggml_block(GgmlType type) { return *std::ranges::find(block_kinds, type, &GgmlBlock::type); }

std::string ggml_type_name(std::uint32_t type) {
  if (const auto kind = find_ggml_block(type)) return std::string(kind->name);
  for (const auto& [number, name] : other_names) {
    if (number == type) return std::string(name);
  }
  return "type " + std::to_string(type);
}

std::string read_ggml_types() {
  std::vector<std::string> names;
  for (const GgmlBlock& kind : block_kinds) names.emplace_back(kind.name);
  return join(names);
}

void dequantize(GgmlType type, const unsigned char* blocks, std::uint64_t count, float* out) {
  const Function function = function_of(type);
  const GgmlBlock& kind = ggml_block(type);
  for (std::uint64_t i = 0; i < count; ++i) function(blocks + i * kind.bytes, out + i * kind.numbers);
}

}  // namespace steerlm
