// What the kernels share: vectors of 16 bytes whose elements are fp32 or bf16 and are computed with as floats, sums
// over lanes, and the size of a grid. Where a row is not a whole number of such vectors, or does not begin at a
// multiple of 16 bytes, the same kernels are compiled for vectors of one element.
#pragma once

#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include <cstdint>
#include <cstring>
#include <initializer_list>

#include "kernels/cuda/launchers.h"

namespace steerlm_cuda {
namespace {

using bf16 = __nv_bfloat16;

template <class T>
constexpr int vector_size = 16 / static_cast<int>(sizeof(T));

template <int Bytes>
struct BitsOf;
template <>
struct BitsOf<16> {
  using Type = uint4;
};
template <>
struct BitsOf<4> {
  using Type = unsigned;
};
template <>
struct BitsOf<2> {
  using Type = unsigned short;
};
// V elements as they lie in memory.
template <class T, int V>
using Bits = typename BitsOf<static_cast<int>(sizeof(T)) * V>::Type;

template <class T, int V>
__device__ __forceinline__ Bits<T, V> load(const T* from) {
  return *reinterpret_cast<const Bits<T, V>*>(from);
}
// Of what is not read again soon: first to be driven out of the caches.
template <class T, int V>
__device__ __forceinline__ Bits<T, V> load_once(const T* from) {
  return __ldcs(reinterpret_cast<const Bits<T, V>*>(from));
}
template <class T, int V>
__device__ __forceinline__ void store(T* to, Bits<T, V> bits) {
  *reinterpret_cast<Bits<T, V>*>(to) = bits;
}

template <class T, int V>
__device__ __forceinline__ void unpack(Bits<T, V> bits, float (&x)[V]) {
  if constexpr (sizeof(T) == 4 && V == 1) {
    x[0] = __uint_as_float(bits);
  } else if constexpr (sizeof(T) == 4) {
    static_assert(V == 4);
    x[0] = __uint_as_float(bits.x), x[1] = __uint_as_float(bits.y);
    x[2] = __uint_as_float(bits.z), x[3] = __uint_as_float(bits.w);
  } else if constexpr (V == 1) {
    x[0] = __uint_as_float(static_cast<unsigned>(bits) << 16);
  } else {
    static_assert(V == 8);
    const unsigned words[4] = {bits.x, bits.y, bits.z, bits.w};
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      x[2 * i] = __uint_as_float(words[i] << 16);
      x[2 * i + 1] = __uint_as_float(words[i] & 0xffff0000u);
    }
  }
}

__device__ __forceinline__ unsigned round_pair(float low, float high) {
  const __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  unsigned bits;
  memcpy(&bits, &pair, sizeof(bits));
  return bits;
}

template <class T, int V>
__device__ __forceinline__ Bits<T, V> pack(const float (&x)[V]) {
  if constexpr (sizeof(T) == 4 && V == 1) {
    return __float_as_uint(x[0]);
  } else if constexpr (sizeof(T) == 4) {
    static_assert(V == 4);
    return make_uint4(__float_as_uint(x[0]), __float_as_uint(x[1]), __float_as_uint(x[2]), __float_as_uint(x[3]));
  } else if constexpr (V == 1) {
    return __bfloat16_as_ushort(__float2bfloat16_rn(x[0]));
  } else {
    static_assert(V == 8);
    return make_uint4(round_pair(x[0], x[1]), round_pair(x[2], x[3]), round_pair(x[4], x[5]), round_pair(x[6], x[7]));
  }
}

// V floats to or from a row of fp32 that begins at a multiple of 16 bytes, or of 4 where V is 1.
template <int V>
__device__ __forceinline__ void load_floats(const float* from, float (&x)[V]) {
  if constexpr (V == 1) {
    x[0] = *from;
  } else {
#pragma unroll
    for (int i = 0; i < V; i += 4) {
      const float4 part = *reinterpret_cast<const float4*>(from + i);
      x[i] = part.x, x[i + 1] = part.y, x[i + 2] = part.z, x[i + 3] = part.w;
    }
  }
}
template <int V>
__device__ __forceinline__ void store_floats(float* to, const float (&x)[V]) {
  if constexpr (V == 1) {
    *to = x[0];
  } else {
#pragma unroll
    for (int i = 0; i < V; i += 4) *reinterpret_cast<float4*>(to + i) = make_float4(x[i], x[i + 1], x[i + 2], x[i + 3]);
  }
}

// The sum over aligned groups of Lanes lanes, the same bits in each of them. Every lane of the warp takes part.
template <int Lanes, class A>
__device__ __forceinline__ A sum_lanes(A x) {
#pragma unroll
  for (int offset = Lanes / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(0xffffffffu, x, offset);
  return x;
}

inline bool aligned(std::initializer_list<const void*> pointers) {
  for (const void* pointer : pointers) {
    if (reinterpret_cast<uintptr_t>(pointer) % 16 != 0) return false;
  }
  return true;
}

// Blocks that do `work` in shares of `share`; more than a grid can have become a number that the launch refuses.
inline unsigned blocks_for(int64_t work, int64_t share) {
  const int64_t blocks = (work + share - 1) / share;
  return blocks > INT32_MAX ? 0x80000000u : static_cast<unsigned>(blocks);
}

inline cudaStream_t as_stream(void* stream) { return static_cast<cudaStream_t>(stream); }

}  // namespace
}  // namespace steerlm_cuda
