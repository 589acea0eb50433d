// Compiled for x86-64-v4 with AMX (CMakeLists.txt). A tile is 16 rows of 64 bytes: 32 bf16 of a row of w, or 16 sums.
#include <immintrin.h>

#include <cstdint>

constexpr std::int64_t lanes = 16;

#include "kernels/matmul.h"
#include "kernels/pack_columns.h"
#include "kernels/vector.h"

namespace steerlm {
namespace {

constexpr Index tile = 16, depth = 32;  // rows; values of k
constexpr Index block_rows = 2 * tile;  // of w, and of x: four tiles of sums, two of w, two of x

// The operand of LDTILECFG (Intel SDM, volume 1, table 18-1): all eight tiles are whole.
struct alignas(64) TileConfig {
  std::uint8_t palette = 1, start_row = 0, reserved[14] = {};
  std::uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
  std::uint8_t rows[16] = {tile, tile, tile, tile, tile, tile, tile, tile};
};

// What a library that uses tiles as well had set is set again at the end.
struct Tiles {
  TileConfig before;
  Tiles() {
    _tile_storeconfig(&before);
    const TileConfig whole;
    _tile_loadconfig(&whole);
  }
  Tiles(const Tiles&) = delete;
  Tiles& operator=(const Tiles&) = delete;
  ~Tiles() { before.palette == 0 ? _tile_release() : _tile_loadconfig(&before); }
};

// sums[a][b] = the products of 16 rows of w, from row 16 a, with 16 rows of x, panel b. The next block of w is asked
// for meanwhile: the processor does not foresee 32 rows of which each is read by pieces of 64 bytes.
template <Index panels>
void sum_block(Index k, const std::uint16_t* w, Index w_row, const float* x, const std::uint16_t* next,
               float (*sums)[2][tile * tile]) {
  const Index w_bytes = w_row * static_cast<Index>(sizeof(*w)), second = tile * w_row, panel = k / 2 * tile;
  _tile_zero(0);
  _tile_zero(1);
  if constexpr (panels == 2) {
    _tile_zero(2);
    _tile_zero(3);
  }
  for (Index p = 0; p < k; p += depth) {
    _tile_loadd(4, w + p, w_bytes);
    _tile_loadd(5, w + second + p, w_bytes);
    _tile_loadd(6, x + p / 2 * tile, 64);
    for (Index r = 0; next != nullptr && r < block_rows; ++r) __builtin_prefetch(next + r * w_row + p);
    _tile_dpbf16ps(0, 4, 6);
    _tile_dpbf16ps(1, 5, 6);
    if constexpr (panels == 2) {
      _tile_loadd(7, x + panel + p / 2 * tile, 64);
      _tile_dpbf16ps(2, 4, 7);
      _tile_dpbf16ps(3, 5, 7);
    }
  }
  _tile_stored(0, sums[0][0], 64);
  _tile_stored(1, sums[1][0], 64);
  if constexpr (panels == 2) {
    _tile_stored(2, sums[0][1], 64);
    _tile_stored(3, sums[1][1], 64);
  }
}

// Columns j to j + columns of y: the transpose of the sums, rounded.
void write_block(const Bf16Product& o, Index i, Index j, const float (*sums)[2][tile * tile]) {
  alignas(64) float turned[tile * block_rows];
  for (Index b = 0; i + b * tile < o.m && b < 2; ++b) {
    for (Index a = 0; a < 2; ++a) {
      for (Index r = 0; r < tile; r += 8) {
        for (Index q = 0; q < tile; q += 8)
          transpose_8(sums[a][b] + r * tile + q, tile, turned + q * block_rows + a * tile + r, block_rows);
      }
    }
    const Index rows = smaller(tile, o.m - i - b * tile), columns = smaller(block_rows, o.n - j);
    for (Index q = 0; q < rows; ++q) {
      std::uint16_t* const y = o.y + (i + b * tile + q) * o.y_row + j;
      for (Index r = 0; r < columns; ++r) y[r] = to_bf16(turned[q * block_rows + r]);
    }
  }
}

}  // namespace

// Pairs of values of k are what AMX multiplies: x becomes panels (k / 2, 16 rows) of pairs, which are moved as floats.
void multiply_bf16_amx(const Bf16Product& o, float* workspace) {
  float* const packed_x = workspace;
  pack_columns<tile>(o.k / 2, o.m, reinterpret_cast<const float*>(o.x), 1, o.x_row / 2, packed_x);
  // The rows after the last whole block, with zeros below.
  auto* const rest = reinterpret_cast<std::uint16_t*>(packed_x + round_up(o.m, tile) * (o.k / 2));
  const Index whole = o.n / block_rows * block_rows;
  for (Index r = 0; r < block_rows && whole < o.n; ++r) {
    if (whole + r < o.n)
      __builtin_memcpy(rest + r * o.k, o.w + (whole + r) * o.w_row, static_cast<unsigned long>(o.k) * sizeof(*rest));
    else
      __builtin_memset(rest + r * o.k, 0, static_cast<unsigned long>(o.k) * sizeof(*rest));
  }
  const Tiles tiles;
  alignas(64) float sums[2][2][tile * tile];
  for (Index j = 0; j < o.n; j += block_rows) {
    const std::uint16_t* const w = j < whole ? o.w + j * o.w_row : rest;
    const Index w_row = j < whole ? o.w_row : o.k;
    for (Index i = 0; i < o.m; i += block_rows) {
      const float* const x = packed_x + i * (o.k / 2);
      const std::uint16_t* const next = i == 0 && j + block_rows < whole ? w + block_rows * w_row : nullptr;
      if (o.m - i <= tile)
        sum_block<1>(o.k, w, w_row, x, next, sums);
      else
        sum_block<2>(o.k, w, w_row, x, next, sums);
      write_block(o, i, j, sums);
    }
  }
}

}  // namespace steerlm
