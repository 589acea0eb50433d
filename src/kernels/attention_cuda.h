// The functions of steerlm/kernels/attention.h on a GPU, bf16 and fp32. Prefill and training are ATen's kernels:
// FlashAttention-2 (Dao 2023) for bf16, its memory-efficient attention (Rabe and Staats 2021) for fp32.
#pragma once

#include "steerlm/kernels/attention.h"

namespace steerlm {

// (n, g, e) -> (n, h, e): each key/value head serves h/g query heads that lie side by side.
at::Tensor repeat_heads(const at::Tensor& x_nge, std::int64_t heads);
// The gradient of repeat_heads: sums over the query heads that share a key/value head.
at::Tensor sum_heads(const at::Tensor& dx_nhe, std::int64_t g);

AttentionOutput attention_forward_on_gpu(const at::Tensor& q_nhe, const at::Tensor& k_nge, const at::Tensor& v_nge,
                                         const PackedSequences& sequences, std::int64_t window);
AttentionGradients attention_backward_on_gpu(const at::Tensor& dout_nhe, const at::Tensor& q_nhe,
                                             const at::Tensor& k_nge, const at::Tensor& v_nge,
                                             const AttentionOutput& saved, const PackedSequences& sequences,
                                             std::int64_t window);
at::Tensor cached_attention_on_gpu(const at::Tensor& q_nhe, const at::Tensor& k_gte, const at::Tensor& v_gte,
                                   std::int64_t window);
void cache_write_on_gpu(const at::Tensor& k_nge, const at::Tensor& v_nge, const at::Tensor& slots_n,
                        const at::Tensor& positions_n, at::Tensor& k_rgte, at::Tensor& v_rgte);
at::Tensor decode_attention_on_gpu(const at::Tensor& q_rhe, const at::Tensor& k_rgte, const at::Tensor& v_rgte,
                                   const at::Tensor& lengths_r, std::int64_t longest, std::int64_t window);

}  // namespace steerlm
