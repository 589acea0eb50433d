// Causal attention on a CPU in fp32, by blocks of queries and keys: the scores of a block are a product (matmul.h), a
// running maximum and sum make them weights without the scores of a whole row (Milakov and Gimelshein 2018; Dao et al.
// 2022), and the backward computes the weights again from the rows' log-sum-exp (Rabe and Staats 2021).
//
// Blocks of keys begin at multiples of 256 tokens of their sequence, and what a query does not see adds zeros, as long
// as it is finite: the bits of a query's output depend on its sequence up to that query alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "steerlm/kernels/attention.h"

namespace steerlm {

// Queries against keys, both as row numbers of their tensors: the queries are the last tokens of the keys' sequence.
struct AttentionSpan {
  std::int64_t query_begin, query_end, key_begin, key_end;
};

// The last axis of each tensor is contiguous. logsumexp_nh, fp32: log of the sum of exp(scores) of each row; undefined:
// not wanted.
void attention_blocks_forward(const at::Tensor& q_nhe, const at::Tensor& k_tge, const at::Tensor& v_tge,
                              const std::vector<AttentionSpan>& spans, std::int64_t window, at::Tensor& out_nhe,
                              at::Tensor& logsumexp_nh);
AttentionGradients attention_blocks_backward(const at::Tensor& dout_nhe, const at::Tensor& q_nhe,
                                             const at::Tensor& k_nge, const at::Tensor& v_nge,
                                             const at::Tensor& out_nhe, const at::Tensor& logsumexp_nh,
                                             const std::vector<AttentionSpan>& spans, std::int64_t window);

}  // namespace steerlm
