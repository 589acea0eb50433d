// Causal softmax attention over packed sequences: token i of a sequence attends to the tokens 0..i of the same
// sequence, scores q.k / sqrt(e). With a window w > 0 it attends to the last w of them, itself included (Beltagy et al.
// 2020, as Mistral has it). n tokens, h query heads, g key/value heads (g divides h; Ainslie et al. 2023), e head
// width.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace steerlm {

// Where the sequences of a pack lie: sequence s is the tokens cu_seqlens[s] … cu_seqlens[s+1]-1; none may be empty.
// Made of lengths on the host, where the kernels' limits are checked; a GPU has a copy.
struct PackedSequences {
  PackedSequences() = default;
  PackedSequences(std::vector<std::int64_t> cu_seqlens, at::Device device = at::kCPU);  // NOLINT: converts on purpose

  std::vector<std::int64_t> cu_seqlens;  // b+1
  at::Tensor cu_seqlens_device;          // b+1, int32; undefined on a CPU
  std::int64_t longest = 0;
};

// Does a CPU compute attention of this dtype by this project's blocks, without copies of what heads share
// (kernels/attention_blocks.h)? Else ATen's kernel does.
bool attention_is_by_blocks(at::ScalarType dtype);

struct AttentionOutput {
  at::Tensor out_nhe;
  std::vector<at::Tensor> logsumexp;  // (n, h); of ATen's kernels one a call, as they return them
  at::Tensor rng_state, unused;       // of the call on a GPU: the backward wants them back
};

AttentionOutput attention_forward(const at::Tensor& q_nhe, const at::Tensor& k_nge, const at::Tensor& v_nge,
                                  const PackedSequences& sequences, std::int64_t window);

struct AttentionGradients {
  at::Tensor dq_nhe;
  at::Tensor dk_nge;
  at::Tensor dv_nge;
};
AttentionGradients attention_backward(const at::Tensor& dout_nhe, const at::Tensor& q_nhe, const at::Tensor& k_nge,
                                      const at::Tensor& v_nge, const AttentionOutput& saved,
                                      const PackedSequences& sequences, std::int64_t window);

// The last n tokens of one sequence against all its t keys and values, strided views (g, t, e): query i stands at
// position t - n + i.
at::Tensor cached_attention(const at::Tensor& q_nhe, const at::Tensor& k_gte, const at::Tensor& v_gte,
                            std::int64_t window);

// Writes row i of k and v to token positions_n[i] of slot slots_n[i] of the caches (r slots, g, t capacity, e); a
// negative position: nothing. Both int32, on the device of the cache.
void cache_write(const at::Tensor& k_nge, const at::Tensor& v_nge, const at::Tensor& slots_n,
                 const at::Tensor& positions_n, at::Tensor& k_rgte, at::Tensor& v_rgte);

// One new token a row against its own cached keys and values: row r attends to the first lengths_r[r] (int32) tokens of
// slot slots_r[r] (int32; undefined, as always on a GPU: of slot r) of k_rgte, v_rgte (slots, g heads, t capacity, e),
// of which the window keeps the last. A row of length 0 gives zeros, and needs no slot. Each row's bits depend on that
// row alone. `longest`: at least the largest length.
at::Tensor decode_attention(const at::Tensor& q_rhe, const at::Tensor& k_rgte, const at::Tensor& v_rgte,
                            const at::Tensor& lengths_r, std::int64_t longest, std::int64_t window,
                            const at::Tensor& slots_r = {});

}  // namespace steerlm
