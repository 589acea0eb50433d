// Loops of the CPU that are compiled for two instruction sets and chosen when the program runs. What they give has the
// same bits with both: sums go over 16 lanes that are added in one order, and a product and its sum are one FMA.
#pragma once

#include <cstdint>

namespace steerlm {

struct MatmulOperands;  // matmul.h
struct Bf16Product;

// The query heads that share a key/value head, of one new token, against the tokens first … end-1 of its cache:
// out = softmax(scale q k^T) v. e is a multiple of 16.
struct DecodeHeads {
  std::int64_t heads, e, first, end;
  const float* q;  // (heads, e)
  const void* k;   // (t, e), fp32 or bf16
  const void* v;
  bool bf16;
  float scale;
  float* out;  // (heads, e)
};

// Of a row of logits l: the largest, whether all are finite, the sum of exp(l - largest) and that of
// exp((l - largest) * sharpness), sharpness = 1 / temperature.
struct RowSums {
  float largest;
  bool finite;
  double sum, sharpened;
};

struct Loops {
  // One thread's part of a product; no size is 0; `workspace` has matmul_workspace() floats, aligned to 64 bytes.
  void (*matmul)(const MatmulOperands& operands, float* workspace);
  // The same with matmul_bf16_workspace().
  void (*matmul_bf16)(const Bf16Product& product, float* workspace);
  // `scores` has heads * (end - first + 15) floats.
  void (*decode_attention)(const DecodeHeads& heads, float* scores);
  // n > 0
  RowSums (*row_sums)(const float* logits, std::int64_t n, float sharpness);
  // x = factor exp(x - shift), 0 where that is below 1e-30; returns their sum. n > 0, here and below.
  float (*exponentials)(float* x, std::int64_t n, float shift, float factor);
  // A NaN is passed over, unless it comes first.
  float (*largest)(const float* x, std::int64_t n);
  // x = weight (x - mean)
  void (*score_gradient)(float* x, const float* weight, std::int64_t n, float mean);
};
extern const Loops loops_avx2, loops_avx512;

// Those of this processor; nullptr: it has neither AVX2 with FMA nor AVX512.
const Loops* loops();

}  // namespace steerlm
