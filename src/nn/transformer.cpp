#include "steerlm/nn/transformer.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>

#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/kernels/swiglu.h"

namespace steerlm {

PackedTokens pack_tokens(const std::vector<std::int64_t>& ids, const std::vector<std::int64_t>& cu_seqlens) {
  std::vector<std::int64_t> positions(ids.size());
  for (size_t s = 0; s + 1 < cu_seqlens.size(); ++s) {
    for (std::int64_t i = cu_seqlens[s]; i < cu_seqlens[s + 1]; ++i) positions[i] = i - cu_seqlens[s];
  }
  return {at::tensor(ids, at::kLong), at::tensor(positions, at::kLong), cu_seqlens};
}

Transformer make_transformer(const ModelConfig& config, const Parameters& weights) {
  return {config, weights,
          make_rope_table(config.max_position_embeddings, config.head_dim, config.rope_theta, weights.embedding_vd.scalar_type())};
}

at::Tensor block_forward(const Transformer& model, const BlockParameters& w, const at::Tensor& x_nd, const PackedTokens& tokens,
                         BlockSaved& saved) {
  const ModelConfig& c = model.config;
  const std::int64_t n = x_nd.size(0);

  const auto [normed_nd, input_rstd_n] = rms_norm_forward(x_nd, w.input_norm_d, c.rms_norm_eps);
  saved.q_nhe = linear_forward(normed_nd, w.q_hd).view({n, c.num_attention_heads, c.head_dim});
  saved.k_nge = linear_forward(normed_nd, w.k_gd).view({n, c.num_key_value_heads, c.head_dim});
  saved.v_nge = linear_forward(normed_nd, w.v_gd).view({n, c.num_key_value_heads, c.head_dim});
  rope_rotate(saved.q_nhe, tokens.positions_n, model.rope, /*inverse=*/false);
  rope_rotate(saved.k_nge, tokens.positions_n, model.rope, /*inverse=*/false);
  saved.attention = attention_forward(saved.q_nhe, saved.k_nge, saved.v_nge, tokens.cu_seqlens);
  at::Tensor middle_nd = linear_forward(saved.attention.out_nhe.view({n, -1}), w.o_dh).add_(x_nd);

  const auto [ffn_input_nd, attention_rstd_n] = rms_norm_forward(middle_nd, w.attention_norm_d, c.rms_norm_eps);
  saved.gate_nf = linear_forward(ffn_input_nd, w.gate_fd);
  saved.up_nf = linear_forward(ffn_input_nd, w.up_fd);
  at::Tensor y_nd = linear_forward(swiglu_forward(saved.gate_nf, saved.up_nf), w.down_df).add_(middle_nd);

  saved.x_nd = x_nd;
  saved.input_rstd_n = input_rstd_n;
  saved.middle_nd = middle_nd;
  saved.attention_rstd_n = attention_rstd_n;
  return y_nd;
}

at::Tensor block_backward(const Transformer& model, const BlockParameters& w, const at::Tensor& dy_nd, const PackedTokens& tokens,
                          const BlockSaved& saved, BlockParameters& g) {
  const std::int64_t n = dy_nd.size(0);

  // y = middle + down(swiglu(gate, up)),  gate, up = linear(norm(middle))
  linear_backward_weight(dy_nd, swiglu_forward(saved.gate_nf, saved.up_nf), g.down_df);
  const auto [dgate_nf, dup_nf] = swiglu_backward(linear_backward_input(dy_nd, w.down_df), saved.gate_nf, saved.up_nf);
  const at::Tensor ffn_input_nd = rms_norm_recompute(saved.middle_nd, w.attention_norm_d, saved.attention_rstd_n);
  linear_backward_weight(dgate_nf, ffn_input_nd, g.gate_fd);
  linear_backward_weight(dup_nf, ffn_input_nd, g.up_fd);
  const at::Tensor dffn_input_nd = linear_backward_input(dgate_nf, w.gate_fd).add_(linear_backward_input(dup_nf, w.up_fd));
  const at::Tensor dmiddle_nd =
      rms_norm_backward(dffn_input_nd, saved.middle_nd, w.attention_norm_d, saved.attention_rstd_n, g.attention_norm_d).add_(dy_nd);

  // middle = x + o(attention(rope(q), rope(k), v)),  q, k, v = linear(norm(x))
  linear_backward_weight(dmiddle_nd, saved.attention.out_nhe.view({n, -1}), g.o_dh);
  const at::Tensor dout_nhe = linear_backward_input(dmiddle_nd, w.o_dh).view(saved.q_nhe.sizes());
  auto [dq_nhe, dk_nge, dv_nge] = attention_backward(dout_nhe, saved.q_nhe, saved.k_nge, saved.v_nge, saved.attention, tokens.cu_seqlens);
  rope_rotate(dq_nhe, tokens.positions_n, model.rope, /*inverse=*/true);
  rope_rotate(dk_nge, tokens.positions_n, model.rope, /*inverse=*/true);
  const at::Tensor dq_nh = dq_nhe.view({n, -1}), dk_ng = dk_nge.view({n, -1}), dv_ng = dv_nge.view({n, -1});
  const at::Tensor normed_nd = rms_norm_recompute(saved.x_nd, w.input_norm_d, saved.input_rstd_n);
  linear_backward_weight(dq_nh, normed_nd, g.q_hd);
  linear_backward_weight(dk_ng, normed_nd, g.k_gd);
  linear_backward_weight(dv_ng, normed_nd, g.v_gd);
  const at::Tensor dnormed_nd = linear_backward_input(dq_nh, w.q_hd)
                                    .add_(linear_backward_input(dk_ng, w.k_gd))
                                    .add_(linear_backward_input(dv_ng, w.v_gd));
  return rms_norm_backward(dnormed_nd, saved.x_nd, w.input_norm_d, saved.input_rstd_n, g.input_norm_d).add_(dmiddle_nd);
}

at::Tensor trunk_forward(const Transformer& model, const PackedTokens& tokens, TrunkSaved* saved) {
  at::Tensor x_nd = embedding_forward(tokens.ids_n, model.weights.embedding_vd);
  for (const BlockParameters& weights : model.weights.blocks) {
    BlockSaved block;
    x_nd = block_forward(model, weights, x_nd, tokens, block);
    if (saved != nullptr) saved->blocks.push_back(std::move(block));
  }
  const auto [hidden_nd, rstd_n] = rms_norm_forward(x_nd, model.weights.norm_d, model.config.rms_norm_eps);
  if (saved != nullptr) {
    saved->x_nd = x_nd;
    saved->rstd_n = rstd_n;
  }
  return hidden_nd;
}

void trunk_backward(const Transformer& model, const PackedTokens& tokens, const at::Tensor& dhidden_nd, const TrunkSaved& saved,
                    Parameters& gradients) {
  at::Tensor dx_nd = rms_norm_backward(dhidden_nd, saved.x_nd, model.weights.norm_d, saved.rstd_n, gradients.norm_d);
  for (size_t i = saved.blocks.size(); i-- > 0;) {
    dx_nd = block_backward(model, model.weights.blocks[i], dx_nd, tokens, saved.blocks[i], gradients.blocks[i]);
  }
  embedding_backward(dx_nd, tokens.ids_n, gradients.embedding_vd);
}

at::Tensor last_tokens(const at::Tensor& hidden_nd, const std::vector<std::int64_t>& cu_seqlens) {
  std::vector<std::int64_t> rows;
  for (size_t s = 1; s < cu_seqlens.size(); ++s) rows.push_back(cu_seqlens[s] - 1);
  return at::index_select(hidden_nd, 0, at::tensor(rows, at::kLong));
}

at::Tensor attribute_scores(const Transformer& model, const at::Tensor& last_bd) {
  const at::ScalarType dtype = last_bd.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor scores_ba = at::mm(last_bd.to(dtype), model.weights.score_ad.to(dtype).t());
  if (model.weights.score_bias_a.defined()) scores_ba.add_(model.weights.score_bias_a.to(dtype));
  return scores_ba;
}

}  // namespace steerlm
