// Causal softmax attention over packed sequences: token i of a sequence attends to the tokens 0..i of the same
// sequence, scores q.k / sqrt(e). With a window w > 0 it attends to the last w of them, itself included (Beltagy et al.
// 2020, as Mistral has it). n tokens, h query heads, g key/value heads (g divides h; Ainslie et al. 2023), e head
// width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace steerlm {

struct AttentionOutput {
  at::Tensor out_nhe;
  std::vector<at::Tensor> logsumexp;  // one a call of ATen's flash kernel, as it returns them
};

// cu_seqlens (b+1): sequence s is the tokens cu_seqlens[s] … cu_seqlens[s+1]-1; none may be empty.
AttentionOutput attention_forward(const at::Tensor& q_nhe, const at::Tensor& k_nge, const at::Tensor& v_nge,
                                  const std::vector<std::int64_t>& cu_seqlens, std::int64_t window);

struct AttentionGradients {
  at::Tensor dq_nhe;
  at::Tensor dk_nge;
  at::Tensor dv_nge;
};
AttentionGradients attention_backward(const at::Tensor& dout_nhe, const at::Tensor& q_nhe, const at::Tensor& k_nge,
                                      const at::Tensor& v_nge, const AttentionOutput& saved,
                                      const std::vector<std::int64_t>& cu_seqlens, std::int64_t window);

// The last n tokens of one sequence against all its t keys and values, strided views (g, t, e): query i stands at
// position t - n + i.
at::Tensor cached_attention(const at::Tensor& q_nhe, const at::Tensor& k_gte, const at::Tensor& v_gte,
                            std::int64_t window);

// One new token a row against its own cached keys and values: row r attends to the first lengths[r] tokens of
// k_rgte[r], v_rgte[r] (r rows, g heads, t capacity, e), of which the window keeps the last. A row of length 0 gives
// zeros, and needs no keys. Each row's bits depend on that row alone.
at::Tensor decode_attention(const at::Tensor& q_rhe, const at::Tensor& k_rgte, const at::Tensor& v_rgte,
                            const std::vector<std::int64_t>& lengths, std::int64_t window);

}  // namespace steerlm
