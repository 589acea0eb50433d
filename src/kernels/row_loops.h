// Attention of decoding, and the loops over rows of scores and logits, for one instruction set: loops.h. The file that
// includes this one defines `lanes`.
#pragma once

#include "kernels/exp.h"
#include "kernels/loops.h"
#include "kernels/vector.h"

namespace steerlm {
namespace {

using Words = std::uint32_t __attribute__((vector_size(lanes * sizeof(float))));
using Integers = std::int32_t __attribute__((vector_size(lanes * sizeof(float))));
using Doubles = double __attribute__((vector_size(lanes * sizeof(double) / 2)));

constexpr Index parts = 16 / lanes;  // vectors of the 16 lanes of a sum

inline Vector load(const float* p) { return *reinterpret_cast<const Unaligned*>(p); }
inline void store(float* p, Vector x) { *reinterpret_cast<Unaligned*>(p) = x; }

// bf16 is the upper half of a float.
inline Vector load(const std::uint16_t* p) {
  using Halves = std::uint16_t
      __attribute__((vector_size(lanes * sizeof(std::uint16_t)), aligned(alignof(std::uint16_t)), may_alias));
  return reinterpret_cast<Vector>(__builtin_convertvector(*reinterpret_cast<const Halves*>(p), Words) << 16);
}

inline Vector larger(Vector a, Vector b) { return a > b ? a : b; }

inline Vector exp_of(Vector x) { return exp_of<Vector, Integers>(x); }

// The sum over 16 lanes: lane l and l + 8 first, then l and l + 4, then l and l + 2.
inline float sum_of(const Vector (&x)[parts]) {
  float lane[16];
  for (Index part = 0; part < parts; ++part) store(lane + part * lanes, x[part]);
  for (Index half = 8; half > 0; half /= 2) {
    for (Index l = 0; l < half; ++l) lane[l] += lane[l + half];
  }
  return lane[0];
}

#if defined(__AVX512F__)
inline Vector interleave_low(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23);
}
inline Vector interleave_high(Vector a, Vector b) {
  return __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31);
}
#else
inline Vector interleave_low(Vector a, Vector b) { return __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11); }
inline Vector interleave_high(Vector a, Vector b) { return __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15); }
#endif

// Lane l of the result is the sum over the lanes of x[l], in the order of sum_of. Each step adds the upper half of
// every vector to its lower half, two vectors in one.
inline Vector sums_of(Vector (&x)[lanes]) {
#pragma GCC unroll 4
  for (Index half = lanes / 2; half > 0; half /= 2) {
#pragma GCC unroll 8
    for (Index i = 0; i < half; ++i) x[i] = interleave_low(x[i], x[i + half]) + interleave_high(x[i], x[i + half]);
  }
  return x[0];
}

// out[0 … 16 * blocks - 1] = sum over t of weight[t] * v[t][·] / total.
template <Index blocks, class Element>
inline void weighted_sum(Index tokens, const float* weight, const Element* v, Index e, float total, float* out) {
  Vector sum[blocks * parts] = {};
  for (Index t = 0; t < tokens; ++t) {
#pragma GCC unroll 8
    for (Index i = 0; i < blocks * parts; ++i) sum[i] += weight[t] * load(v + t * e + i * lanes);
  }
  for (Index i = 0; i < blocks * parts; ++i) store(out + i * lanes, sum[i] / total);
}

template <class Element>
void attend_to(const DecodeHeads& o, const Element* k, const Element* v, float* scores) {
  const Index tokens = o.end - o.first, width = round_up(tokens, 16);
  k += o.first * o.e;
  v += o.first * o.e;
  for (Index t = 0; t < tokens; t += lanes) {
    for (Index h = 0; h < o.heads; ++h) {
      Vector dots[lanes] = {};
      for (Index l = 0; l < smaller(lanes, tokens - t); ++l) {
        Vector dot[parts] = {};
        for (Index c = 0; c < o.e; c += 16) {
          for (Index part = 0; part < parts; ++part) {
            const Index i = c + part * lanes;
            dot[part] += load(o.q + h * o.e + i) * load(k + (t + l) * o.e + i);
          }
        }
        dots[l] = parts == 2 ? dot[0] + dot[parts - 1] : dot[0];
      }
      store(scores + h * width + t, o.scale * sums_of(dots));
    }
  }
  for (Index h = 0; h < o.heads; ++h) {
    float* const score = scores + h * width;
    for (Index t = tokens; t < width; ++t) score[t] = -__builtin_inff();
    Vector most[parts];
    for (Index part = 0; part < parts; ++part) most[part] = load(score + part * lanes);
    for (Index t = 16; t < width; t += 16) {
      for (Index part = 0; part < parts; ++part) most[part] = larger(load(score + t + part * lanes), most[part]);
    }
    float lane[16], largest = -__builtin_inff();
    for (Index part = 0; part < parts; ++part) store(lane + part * lanes, most[part]);
    for (const float value : lane) largest = value > largest ? value : largest;
    Vector total[parts] = {};
    for (Index t = 0; t < width; t += 16) {
      for (Index part = 0; part < parts; ++part) {
        const Vector weight = exp_of(load(score + t + part * lanes) - largest);
        store(score + t + part * lanes, weight);
        total[part] += weight;
      }
    }
    const float sum = sum_of(total);
    Index c = 0;
    for (; c + 64 <= o.e; c += 64) weighted_sum<4>(tokens, score, v + c, o.e, sum, o.out + h * o.e + c);
    for (; c < o.e; c += 16) weighted_sum<1>(tokens, score, v + c, o.e, sum, o.out + h * o.e + c);
  }
}

void attend(const DecodeHeads& o, float* scores) {
  if (o.bf16)
    attend_to(o, static_cast<const std::uint16_t*>(o.k), static_cast<const std::uint16_t*>(o.v), scores);
  else
    attend_to(o, static_cast<const float*>(o.k), static_cast<const float*>(o.v), scores);
}

// Sums of fp32 values in fp64, over 16 lanes.
struct WideSum {
  Doubles lane[2 * parts] = {};
  void add(const Vector (&x)[parts]) {
    float value[16];
    for (Index part = 0; part < parts; ++part) store(value + part * lanes, x[part]);
    for (Index i = 0; i < 2 * parts; ++i) {
      using Floats = float __attribute__((vector_size(lanes * sizeof(float) / 2), aligned(alignof(float)), may_alias));
      lane[i] += __builtin_convertvector(*reinterpret_cast<const Floats*>(value + i * lanes / 2), Doubles);
    }
  }
  double total() const {
    double sum = 0;
    for (Index i = 0; i < 16; ++i) sum += lane[i / (lanes / 2)][i % (lanes / 2)];
    return sum;
  }
};

// The next 16 of a row, `beyond` where the row has ended.
inline void load_16(const float* row, Index i, Index n, float beyond, Vector (&x)[parts]) {
  float last[16];
  const bool whole = i + 16 <= n;
  for (Index l = 0; !whole && l < 16; ++l) last[l] = i + l < n ? row[i + l] : beyond;
  for (Index part = 0; part < parts; ++part) x[part] = load((whole ? row + i : last) + part * lanes);
}

RowSums row_sums(const float* logits, Index n, float sharpness) {
  Vector most[parts], x[parts], not_finite[parts] = {};
  load_16(logits, 0, n, logits[0], most);
  for (Index i = 0; i < n; i += 16) {
    load_16(logits, i, n, logits[0], x);
    for (Index part = 0; part < parts; ++part) {
      most[part] = larger(x[part], most[part]);
      not_finite[part] += x[part] * 0.0f;  // NaN of infinity and NaN
    }
  }
  float lane[16], largest = logits[0];
  for (Index part = 0; part < parts; ++part) store(lane + part * lanes, most[part]);
  for (const float value : lane) largest = value > largest ? value : largest;
  WideSum sum, sharpened;
  for (Index i = 0; i < n; i += 16) {
    load_16(logits, i, n, -__builtin_inff(), x);
    Vector weight[parts];
    for (Index part = 0; part < parts; ++part) weight[part] = exp_of(x[part] - largest);
    sum.add(weight);
    if (sharpness == 1) continue;
    for (Index part = 0; part < parts; ++part) weight[part] = exp_of((x[part] - largest) * sharpness);
    sharpened.add(weight);
  }
  return {largest, sum_of(not_finite) == 0.0f, sum.total(), sharpness == 1 ? sum.total() : sharpened.total()};
}

// What load_16 loaded, or as much of it as the row has.
inline void store_16(float* row, Index i, Index n, const Vector (&x)[parts]) {
  float last[16];
  const bool whole = i + 16 <= n;
  for (Index part = 0; part < parts; ++part) store((whole ? row + i : last) + part * lanes, x[part]);
  for (Index l = i; !whole && l < n; ++l) row[l] = last[l - i];
}

// What is next to nothing becomes 0: products of denormal numbers are slow.
float exponentials(float* row, Index n, float shift, float factor) {
  constexpr float tiny = 1e-30f;
  Vector sum[parts] = {}, x[parts];
  for (Index i = 0; i < n; i += 16) {
    load_16(row, i, n, -__builtin_inff(), x);
    for (Index part = 0; part < parts; ++part) {
      x[part] = factor * exp_of(x[part] - shift);
      x[part] = (x[part] < tiny) & (x[part] > -tiny) ? Vector{} : x[part];
      sum[part] += x[part];
    }
    store_16(row, i, n, x);
  }
  return sum_of(sum);
}

float largest(const float* row, Index n) {
  Vector most[parts], x[parts];
  load_16(row, 0, n, row[0], most);
  for (Index i = 16; i < n; i += 16) {
    load_16(row, i, n, row[0], x);
    for (Index part = 0; part < parts; ++part) most[part] = larger(x[part], most[part]);
  }
  float lane[16], result = row[0];
  for (Index part = 0; part < parts; ++part) store(lane + part * lanes, most[part]);
  for (const float value : lane) result = value > result ? value : result;
  return result;
}

void score_gradient(float* row, const float* weight, Index n, float mean) {
  Vector x[parts], w[parts];
  for (Index i = 0; i < n; i += 16) {
    load_16(row, i, n, 0, x);
    load_16(weight, i, n, 0, w);
    for (Index part = 0; part < parts; ++part) x[part] = w[part] * (x[part] - mean);
    store_16(row, i, n, x);
  }
}

}  // namespace
}  // namespace steerlm
