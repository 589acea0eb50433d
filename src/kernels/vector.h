// A vector register of fp32, for the files that are compiled for one instruction set: each defines `lanes`, the floats
// in it, before it includes this. Nothing of the standard library's is used: a function of its headers that is compiled
// here for AVX512 could be the one that the linker keeps for the whole program.
#pragma once

#include <cstdint>

namespace steerlm {
namespace {

using Index = std::int64_t;
using Vector = float __attribute__((vector_size(lanes * sizeof(float))));
// The same at any address.
using Unaligned = float __attribute__((vector_size(lanes * sizeof(float)), aligned(alignof(float)), may_alias));

inline Index smaller(Index a, Index b) { return a < b ? a : b; }
inline Index round_up(Index count, Index unit) { return (count + unit - 1) / unit * unit; }

inline void widen(const std::uint16_t* bf16, Index n, float* out) {
  for (Index i = 0; i < n; ++i) out[i] = __builtin_bit_cast(float, static_cast<std::uint32_t>(bf16[i]) << 16);
}
// The nearest, of two the even one; a NaN stays one.
inline std::uint16_t to_bf16(float x) {
  const std::uint32_t bits = __builtin_bit_cast(std::uint32_t, x);
  const std::uint32_t rounded = (bits + 0x7fff + (bits >> 16 & 1)) >> 16;
  return static_cast<std::uint16_t>((bits & 0x7fffffff) > 0x7f800000 ? bits >> 16 | 0x40 : rounded);
}

}  // namespace
}  // namespace steerlm
