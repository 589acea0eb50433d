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

}  // namespace
}  // namespace steerlm
