// The loops of matmul.h for one instruction set: the file that includes this one defines `lanes` and `tile_rows`.
#pragma once

#include "kernels/matmul.h"
#include "kernels/pack_columns.h"
#include "kernels/vector.h"

namespace steerlm {
namespace {

constexpr Index tile_columns = 2 * lanes;
static_assert(matmul_rows % tile_rows == 0 && matmul_columns % tile_columns == 0 && matmul_few_rows >= tile_columns);

// c[tile_rows][vectors * lanes] = alpha a b, or the sum with c. Element (r, k) of a is a[r * a_row + k * a_step], of b
// (k, ·) the next vectors * lanes floats.
template <Index vectors, bool packed>
[[gnu::always_inline]] inline void tile(Index depth, const float* a, Index a_row, const float* b, float* c, Index c_row,
                                        float alpha, bool add) {
  Vector sum[tile_rows][vectors] = {};
  for (Index k = 0; k < depth; ++k) {
    Vector b_k[vectors];
    for (Index v = 0; v < vectors; ++v) b_k[v] = *reinterpret_cast<const Vector*>(b + v * lanes);
#pragma GCC unroll 14
    for (Index r = 0; r < tile_rows; ++r) {
      const Vector a_r = a[packed ? r : r * a_row] - Vector{};
      for (Index v = 0; v < vectors; ++v) sum[r][v] += a_r * b_k[v];
    }
    a += packed ? tile_rows : 1;
    b += vectors * lanes;
  }
#pragma GCC unroll 14
  for (Index r = 0; r < tile_rows; ++r) {
    for (Index v = 0; v < vectors; ++v) {
      Unaligned* out = reinterpret_cast<Unaligned*>(c + r * c_row + v * lanes);
      *out = add ? *out + alpha * sum[r][v] : alpha * sum[r][v];
    }
  }
}

[[gnu::noinline]] void whole_tile(Index depth, const float* a, const float* b, float* c, Index c_row, float alpha,
                                  bool add) {
  tile<2, true>(depth, a, tile_rows, b, c, c_row, alpha, add);
}

// Copies between a tile that is all there and the part of it that C has: element (r, q) of C and tile[r * row + q *
// column].
inline void read_part(const float* c, Index c_row, Index rows, Index columns, float* tile_of_c, Index row,
                      Index column) {
  for (Index r = 0; r < rows; ++r) {
    for (Index q = 0; q < columns; ++q) tile_of_c[r * row + q * column] = c[r * c_row + q];
  }
}
inline void write_part(const float* tile_of_c, Index row, Index column, Index rows, Index columns, float* c,
                       Index c_row) {
  for (Index r = 0; r < rows; ++r) {
    for (Index q = 0; q < columns; ++q) c[r * c_row + q] = tile_of_c[r * row + q * column];
  }
}

void multiply_blocks(const MatmulOperands& o, float* workspace) {
  float* const packed_a = workspace;
  float* const packed_b = workspace + matmul_rows * matmul_depth;
  alignas(64) float edge[tile_rows * tile_columns] = {};
  for (Index j0 = 0; j0 < o.n; j0 += matmul_columns) {
    const Index n = smaller(matmul_columns, o.n - j0);
    for (Index p0 = 0; p0 < o.k; p0 += matmul_depth) {
      const Index k = smaller(matmul_depth, o.k - p0);
      const bool add = o.add || p0 > 0;
      pack_columns<tile_columns>(k, n, o.b + p0 * o.b_row + j0 * o.b_column, o.b_row, o.b_column, packed_b);
      for (Index i0 = 0; i0 < o.m; i0 += matmul_rows) {
        const Index m = smaller(matmul_rows, o.m - i0);
        pack_columns<tile_rows>(k, m, o.a + i0 * o.a_row + p0 * o.a_column, o.a_column, o.a_row, packed_a);
        for (Index j = 0; j < n; j += tile_columns) {
          for (Index i = 0; i < m; i += tile_rows) {
            float* const c = o.c + (i0 + i) * o.c_row + j0 + j;
            const Index rows = smaller(tile_rows, m - i), columns = smaller(tile_columns, n - j);
            if (rows == tile_rows && columns == tile_columns) {
              whole_tile(k, packed_a + i * k, packed_b + j * k, c, o.c_row, o.alpha, add);
            } else {
              if (add) read_part(c, o.c_row, rows, columns, edge, tile_columns, 1);
              whole_tile(k, packed_a + i * k, packed_b + j * k, edge, tile_columns, o.alpha, add);
              write_part(edge, tile_columns, 1, rows, columns, c, o.c_row);
            }
          }
        }
      }
    }
  }
}

// Few rows of A, as where a token of each sequence is decoded: the columns of B, the rows of a weight matrix, are read
// once and where they lie; the transpose of C is computed, tile_rows columns of B by `vectors` vectors of rows of A.
template <Index vectors>
void multiply_few_rows(const MatmulOperands& o, float* packed_a) {
  constexpr Index width = vectors * lanes;
  pack_columns<width>(o.k, o.m, o.a, o.a_column, o.a_row, packed_a);
  alignas(64) float c[tile_rows * width] = {};
  for (Index j = 0; j < o.n; j += tile_rows) {
    const Index first =
        smaller(j, o.n - tile_rows);  // the last tile begins earlier, and what it repeats is not written again
    for (Index i = 0; i < o.m; i += width) {
      const Index rows = smaller(width, o.m - i), repeated = j - first;
      if (o.add) read_part(o.c + i * o.c_row + first, o.c_row, rows, tile_rows, c, 1, width);
      for (Index p0 = 0; p0 < o.k; p0 += matmul_depth) {
        tile<vectors, false>(smaller(matmul_depth, o.k - p0), o.b + first * o.b_column + p0, o.b_column,
                             packed_a + (i * o.k + p0 * width), c, width, o.alpha, o.add || p0 > 0);
      }
      write_part(c + repeated * width, 1, width, rows, tile_rows - repeated, o.c + i * o.c_row + j, o.c_row);
    }
  }
}

void multiply(const MatmulOperands& o, float* workspace) {
  if (o.m > matmul_few_rows || o.b_row != 1 || o.n < tile_rows)
    multiply_blocks(o, workspace);
  else if (o.m <= lanes)
    multiply_few_rows<1>(o, workspace);
  else
    multiply_few_rows<2>(o, workspace);
}

// Few rows of bf16, of which w is read once and where it lies: a block of its rows becomes fp32 beside the packed rows
// of x, and then it is the product above, whose sums are rounded once.
template <Index vectors>
void multiply_bf16(const Bf16Product& o, float* workspace) {
  constexpr Index width = vectors * lanes;
  float* const block = workspace;  // (tile_rows, matmul_depth)
  float* const packed_x = block + tile_rows * matmul_depth;
  float* const wide_x = packed_x + round_up(o.m, width) * o.k;
  for (Index i = 0; i < o.m; ++i) widen(o.x + i * o.x_row, o.k, wide_x + i * o.k);
  pack_columns<width>(o.k, o.m, wide_x, 1, o.k, packed_x);
  alignas(64) float c[tile_rows * width];
  for (Index j = 0; j < o.n; j += tile_rows) {
    const Index columns = smaller(tile_rows, o.n - j);
    for (Index i = 0; i < o.m; i += width) {
      for (Index p = 0; p < o.k; p += matmul_depth) {
        const Index depth = smaller(matmul_depth, o.k - p);
        // Past the last row the block keeps what it held: those sums are not written.
        for (Index r = 0; r < columns; ++r) widen(o.w + (j + r) * o.w_row + p, depth, block + r * matmul_depth);
        tile<vectors, false>(depth, block, matmul_depth, packed_x + i * o.k + p * width, c, width, 1, p > 0);
      }
      for (Index q = 0; q < smaller(width, o.m - i); ++q) {
        for (Index r = 0; r < columns; ++r) o.y[(i + q) * o.y_row + j + r] = to_bf16(c[r * width + q]);
      }
    }
  }
}

void multiply_bf16(const Bf16Product& o, float* workspace) {
  o.m <= lanes ? multiply_bf16<1>(o, workspace) : multiply_bf16<2>(o, workspace);
}

}  // namespace
}  // namespace steerlm
