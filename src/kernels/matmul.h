// C = A B and C += alpha A B of fp32 matrices on the CPU, with strides, so that a transposed matrix needs no copy.
//
// Element (i, j) is, for blocks of 256 values of k in ascending order, C = fma(alpha, block, C) where the block is a
// chain of fused multiply-adds in ascending order of k. This order depends neither on the sizes m and n, nor on the
// place of the element, nor on the number of threads, nor on which of the two instruction sets computes it: the bits of
// a row of C depend on that row of A and on B alone.
//
// Blocking as in Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication" (ACM TOMS 34, 2008): a tile
// of C stays in registers, a panel of B in the first cache, a block of A in the second.
#pragma once

#include <cstdint>

namespace steerlm {

// Element (i, j) of A is a[i * a_row + j * a_column]; the same of B (k, n); of C (m, n), c[i * c_row + j].
struct MatmulOperands {
  std::int64_t m, n, k;
  const float* a;
  std::int64_t a_row, a_column;
  const float* b;
  std::int64_t b_row, b_column;
  float* c;
  std::int64_t c_row;
  float alpha;
  bool add;  // to what C holds
};

// Has this processor one of the instruction sets that the product is compiled for (AVX2 with FMA, AVX512)?
bool matmul_available();

// With the threads of at::parallel_for. Only where matmul_available().
void matmul(const MatmulOperands& operands);

constexpr std::int64_t matmul_depth = 256;      // values of k in a block
constexpr std::int64_t matmul_columns = 1024;   // columns of B in a block
constexpr std::int64_t matmul_rows = 168;       // rows of A in a block: a multiple of both tiles' rows, 6 and 14
constexpr std::int64_t matmul_few_rows = 32;    // so many rows of A at most leave B unpacked
std::int64_t matmul_workspace(std::int64_t k);  // floats

// y = x w^T of bf16 for few rows of x, as where a token of each sequence is decoded: w is read once and where it lies,
// the sums are fp32 and rounded once, to the nearest. Row i of x (m, k) begins at x + i * x_row, and so on for w (n, k)
// and y (m, n). The bits of a row of y depend on that row of x and on w alone, but not on every processor are they the
// same: AMX adds in another order and takes denormal numbers for zero.
struct Bf16Product {
  std::int64_t m, n, k;
  const std::uint16_t* x;
  std::int64_t x_row;
  const std::uint16_t* w;
  std::int64_t w_row;
  std::uint16_t* y;
  std::int64_t y_row;
};
constexpr std::int64_t matmul_bf16_rows = 64;  // the most

// With the threads of at::parallel_for. m at most matmul_bf16_rows; only where matmul_available().
void matmul_bf16(const Bf16Product& product);
std::int64_t matmul_bf16_workspace(std::int64_t k);  // floats

// The same by AMX, one thread's part; k is a multiple of 32, x_row of 2 and x of 4 bytes. Only where has_amx().
void multiply_bf16_amx(const Bf16Product& product, float* workspace);
// Has this processor AMX with bf16, and does the kernel let this process use it?
bool has_amx();

}  // namespace steerlm
