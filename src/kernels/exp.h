// exp(x) in fp32 by arithmetic alone: every element goes through the same operations wherever it stands. With a
// library's exp the last elements of a range round differently from the others.
#pragma once

#include <cstdint>

namespace steerlm {
namespace {

// Float is float or a vector of floats, Integer as wide integers. Within 2 units in the last place; x is clamped to
// -87 … 88, NaN stays. x = k ln 2 + r, |r| <= ln 2 / 2, exp(x) = 2^k exp(r); polynomial of Cephes' expf (Moshier).
// Always inlined, since it is compiled for several instruction sets.
template <class Float, class Integer>
[[gnu::always_inline]] inline Float exp_of(Float x) {
  const Float least = Float{} - 87.0f, most = Float{} + 88.0f;
  x = x < least ? least : x > most ? most : x;
  const Float shifted = x * 1.44269504f + 12582912.0f;  // 1.5 * 2^23: rounds to an integer, in the low bits
  const Float k = shifted - 12582912.0f;
  const Float r = (x - k * 0.693359375f) + k * 2.12194440e-4f;
  Float p = 1.9875691500e-4f * r + 1.3981999507e-3f;
  p = p * r + 8.3334519073e-3f;
  p = p * r + 4.1665795894e-2f;
  p = p * r + 1.6666665459e-1f;
  p = p * r + 5.0000001201e-1f;
  const Float e = p * r * r + r + 1.0f;
  return e * __builtin_bit_cast(Float, (__builtin_bit_cast(Integer, shifted) + 127) << 23);
}

}  // namespace
}  // namespace steerlm
