// The shared decoder-only transformer (Llama family: Touvron et al. 2023) on packed tokens, forward and backward written out.
//   x = embedding[ids]
//   block: x += o(attention(rope(q(norm(x))), rope(k(norm(x))), v(norm(x))));  x += down(silu(gate(norm(x))) * up(norm(x)))
//   hidden = norm(x)
// n tokens, d width, h query heads, g key/value heads, e head width, f FFN width.
#pragma once

#include <cstdint>
#include <vector>

#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/rope.h"
#include "steerlm/nn/parameters.h"

namespace steerlm {

// Packed token ids: sequence s is ids[cu_seqlens[s]] … ids[cu_seqlens[s+1] - 1].
struct PackedTokens {
  at::Tensor ids_n;        // int64
  at::Tensor positions_n;  // int64, from 0 in each sequence
  std::vector<std::int64_t> cu_seqlens;
};
PackedTokens pack_tokens(const std::vector<std::int64_t>& ids, const std::vector<std::int64_t>& cu_seqlens);

// What a block's backward needs of its forward. The two norms' outputs and the FFN's product are computed again.
struct BlockSaved {
  at::Tensor x_nd;  // input
  at::Tensor input_rstd_n;
  at::Tensor q_nhe, k_nge, v_nge;  // after rotation
  AttentionOutput attention;
  at::Tensor middle_nd;  // x + attention
  at::Tensor attention_rstd_n;
  at::Tensor gate_nf, up_nf;
};

struct TrunkSaved {
  std::vector<BlockSaved> blocks;
  at::Tensor x_nd;  // input of the final norm
  at::Tensor rstd_n;
};

// A model that computes: weights in the compute dtype and the rotary table that goes with them.
struct Transformer {
  ModelConfig config;
  Parameters weights;
  RopeTable rope;
};
Transformer make_transformer(const ModelConfig& config, const Parameters& weights);

// hidden_nd after the final norm. `saved` null: nothing is kept.
at::Tensor trunk_forward(const Transformer& model, const PackedTokens& tokens, TrunkSaved* saved);

// Adds the gradients of all trunk weights to `gradients`.
void trunk_backward(const Transformer& model, const PackedTokens& tokens, const at::Tensor& dhidden_nd, const TrunkSaved& saved,
                    Parameters& gradients);

// x_nd after the block; q, k and v are left in `saved`.
at::Tensor block_forward(const Transformer& model, const BlockParameters& weights, const at::Tensor& x_nd, const PackedTokens& tokens,
                         BlockSaved& saved);
at::Tensor block_backward(const Transformer& model, const BlockParameters& weights, const at::Tensor& dx_nd, const PackedTokens& tokens,
                          const BlockSaved& saved, BlockParameters& gradients);

// The attribute head: scores_ba = x_bd score^T + bias in fp32 (fp64 for fp64), x the hidden state of the last token of each sequence.
at::Tensor last_tokens(const at::Tensor& hidden_nd, const std::vector<std::int64_t>& cu_seqlens);
at::Tensor attribute_scores(const Transformer& model, const at::Tensor& last_bd);

}  // namespace steerlm
