// Packing for the products of matmul.h, for the files that are compiled for one instruction set (vector.h).
#pragma once

#include "kernels/vector.h"

namespace steerlm {
namespace {

// The transpose of 8 by 8 floats: out[p * out_row + q] = from[q * from_row + p].
inline void transpose_8(const float* from, Index from_row, float* out, Index out_row) {
  using Eight = float __attribute__((vector_size(8 * sizeof(float))));
  using Anywhere = float __attribute__((vector_size(8 * sizeof(float)), aligned(alignof(float)), may_alias));
  Eight rows[8], mixed[8];
  for (Index q = 0; q < 8; ++q) rows[q] = *reinterpret_cast<const Anywhere*>(from + q * from_row);
    // Three times "interleave the first half with the second" brings element (q, p) of 8 by 8 to (p, q).
#pragma GCC unroll 3
  for (int stage = 0; stage < 3; ++stage) {
    for (Index q = 0; q < 4; ++q) {
      mixed[2 * q] = __builtin_shufflevector(rows[q], rows[q + 4], 0, 8, 1, 9, 2, 10, 3, 11);
      mixed[2 * q + 1] = __builtin_shufflevector(rows[q], rows[q + 4], 4, 12, 5, 13, 6, 14, 7, 15);
    }
    for (Index q = 0; q < 8; ++q) rows[q] = mixed[q];
  }
  for (Index p = 0; p < 8; ++p) *reinterpret_cast<Anywhere*>(out + p * out_row) = rows[p];
}

// Columns of B as panels of `width`: out[panel][k][column], zeros right of the last column. The rows of A are the
// columns of its transpose.
template <Index width>
void pack_columns(Index k, Index n, const float* b, Index row, Index column, float* out) {
  for (Index j = 0; j < n; j += width, out += k * width) {
    const Index columns = smaller(width, n - j);
    const float* from = b + j * column;
    if (column == 1 && columns == width) {
      for (Index p = 0; p < k; ++p) __builtin_memcpy(out + p * width, from + p * row, width * sizeof(float));
      continue;
    }
    const bool transposes = row == 1 && columns >= 8;
    const Index deep = k / 8 * 8;
    for (Index next = 0; transposes && next < columns; next += 8) {
      const Index q = smaller(next, columns - 8);  // the last 8 may repeat some
      for (Index p = 0; p < deep; p += 8) transpose_8(from + q * column + p, column, out + p * width + q, width);
      for (Index p = deep; p < k; ++p) {
        for (Index l = q; l < q + 8; ++l) out[p * width + l] = from[p + l * column];
      }
    }
    for (Index q = transposes ? columns : 0; q < width; ++q) {
      for (Index p = 0; p < k; ++p) out[p * width + q] = q < columns ? from[p * row + q * column] : 0;
    }
  }
}

}  // namespace
}  // namespace steerlm
