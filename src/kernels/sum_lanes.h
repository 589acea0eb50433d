// A sum whose order is fixed and which vector registers can compute.
#pragma once

#include <cstdint>

#include "kernels/dispatch.h"

namespace steerlm {

// Eight partial sums: the compiler may use vector registers without changing the order of any sum.
template <class T, class Term>
Accumulate<T> sum_lanes(std::int64_t d, Term&& term) {
  Accumulate<T> lanes[8] = {};
  std::int64_t j = 0;
  for (; j + 8 <= d; j += 8) {
    for (int l = 0; l < 8; ++l) lanes[l] += term(j + l);
  }
  for (; j < d; ++j) lanes[j % 8] += term(j);
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) + ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

}  // namespace steerlm
