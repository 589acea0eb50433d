// The shared decoder-only transformer (Llama family: Touvron et al. 2023) on packed tokens, forward and backward
// written out.
//   x = embedding[ids]
//   block: x += o(attention(rope(q(norm(x))), rope(k(norm(x))), v(norm(x))));
//          x += down(silu(gate(norm(x))) * up(norm(x)))
//   hidden = norm(x)
// With query and key norms (Qwen3) each head of q and k is normalised before it is turned.
// n tokens, d width, h query heads, g key/value heads, e head width, f FFN width.
#pragma once

#include <cstdint>
#include <vector>

#include "steerlm/core/gradient_turn.h"
#include "steerlm/kernels/attention.h"
#include "steerlm/kernels/rope.h"
#include "steerlm/nn/parameters.h"

namespace steerlm {

// A model that computes: weights in the compute dtype.
struct Transformer {
  ModelConfig config;
  Parameters weights;

  at::ScalarType dtype() const { return weights.embedding_vd.scalar_type(); }
  at::Device device() const { return weights.embedding_vd.device(); }
};

// Packed token ids on the model's device: sequence s is ids[cu_seqlens[s]] … ids[cu_seqlens[s+1] - 1], with its rotary
// angles from position 0.
struct PackedTokens {
  at::Tensor ids_n;  // int64
  RopeAngles angles;
  PackedSequences sequences;
};
PackedTokens pack_tokens(const Transformer& model, const std::vector<std::int64_t>& ids,
                         const std::vector<std::int64_t>& cu_seqlens);

// Hidden states on their way from one block to the next: x + residual, which the norm that reads them adds up.
struct HiddenStates {
  at::Tensor x_nd;
  at::Tensor residual_nd;  // undefined: 0
};

// What a block's backward needs of its forward. The norms' outputs and the FFN's product are computed again.
struct BlockSaved {
  at::Tensor x_nd;  // input, added up
  at::Tensor input_rstd_n;
  at::Tensor q_nhe, k_nge, v_nge;   // after norm and rotation
  at::Tensor raw_q_nhe, raw_k_nge;  // before them, where there are query and key norms
  at::Tensor q_rstd_m, k_rstd_m;    // of the heads' norms, m = n*h and n*g
  AttentionOutput attention;
  at::Tensor middle_nd;  // x + attention
  at::Tensor attention_rstd_n;
  at::Tensor gate_nf, up_nf;
};

// With `recompute` a block keeps its input alone, and its backward computes the rest once more: the same bits, less
// memory, a third more products.
struct TrunkSaved {
  bool recompute = false;
  std::vector<BlockSaved> blocks;
  at::Tensor x_nd;  // input of the final norm
  at::Tensor rstd_n;
};

// hidden_nd after the final norm. `saved` null: nothing is kept.
at::Tensor trunk_forward(const Transformer& model, const PackedTokens& tokens, TrunkSaved* saved);

// Adds the gradients of the trunk's weights to those members of `gradients` that are there, in `turn` where other
// micro-batches add to them too. What the forward kept is let go block by block.
void trunk_backward(const Transformer& model, const PackedTokens& tokens, const at::Tensor& dhidden_nd,
                    TrunkSaved& saved, Parameters& gradients, const GradientTurn& turn = {});

// A block in three parts, of which generation replaces the middle one by attention over cached keys and values.
// block_input leaves x, q, k and v in `saved`; block_output goes on from the heads' outputs.
void block_input(const Transformer& model, size_t layer, const HiddenStates& hidden, const RopeAngles& angles,
                 BlockSaved& saved);
HiddenStates block_output(const Transformer& model, size_t layer, const at::Tensor& heads_nhe, BlockSaved& saved);
// The model's last norm, with its input and rstd where they are wanted.
at::Tensor final_norm(const Transformer& model, const HiddenStates& hidden, TrunkSaved* saved);

// The attribute head: scores_ba = x_bd score^T + bias in fp32 (fp64 for fp64), x what the head reads of the hidden
// states of each sequence (HeadPooling). That of the last token is in row last_rows[s].
std::vector<std::int64_t> last_rows(const std::vector<std::int64_t>& cu_seqlens);
at::Tensor attribute_scores(const Transformer& model, const at::Tensor& x_bd);

}  // namespace steerlm
