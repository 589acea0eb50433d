#include "steerlm/nn/transformer.h"

#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>

#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/kernels/swiglu.h"
#include "steerlm/nn/linear.h"
#include "steerlm/nn/rope.h"

namespace steerlm {

PackedTokens pack_tokens(const Transformer& model, const std::vector<std::int64_t>& ids,
                         const std::vector<std::int64_t>& cu_seqlens) {
  return {at::tensor(ids, at::kLong), rope_angles(model.config, cu_seqlens, 0, model.dtype()), cu_seqlens};
}

namespace {

// RMSNorm of each head, (n, h, e) taken as n*h rows.
at::Tensor head_norm_forward(const at::Tensor& x_nhe, const at::Tensor& w_e, double eps, at::Tensor& rstd_m) {
  auto [y_me, rstd] = rms_norm_forward(x_nhe.view({-1, x_nhe.size(2)}), w_e, eps);
  rstd_m = rstd;
  return y_me.view(x_nhe.sizes());
}

at::Tensor head_norm_backward(const at::Tensor& dy_nhe, const at::Tensor& x_nhe, const at::Tensor& w_e,
                              const at::Tensor& rstd_m, at::Tensor& dw_e) {
  const std::int64_t e = x_nhe.size(2);
  return rms_norm_backward(dy_nhe.view({-1, e}), x_nhe.view({-1, e}), w_e, rstd_m, dw_e).view(x_nhe.sizes());
}

}  // namespace

void block_input(const Transformer& model, size_t layer, const at::Tensor& x_nd, const RopeAngles& angles,
                 BlockSaved& saved) {
  const ModelConfig& c = model.config;
  const BlockParameters& w = model.weights.blocks[layer];
  const std::int64_t n = x_nd.size(0);

  const auto [normed_nd, input_rstd_n] = rms_norm_forward(x_nd, w.input_norm_d, c.rms_norm_eps);
  saved.q_nhe = linear_forward(normed_nd, w.q).view({n, c.num_attention_heads, c.head_dim});
  saved.k_nge = linear_forward(normed_nd, w.k).view({n, c.num_key_value_heads, c.head_dim});
  saved.v_nge = linear_forward(normed_nd, w.v).view({n, c.num_key_value_heads, c.head_dim});
  if (c.qk_norm) {
    saved.raw_q_nhe = saved.q_nhe;
    saved.raw_k_nge = saved.k_nge;
    saved.q_nhe = head_norm_forward(saved.raw_q_nhe, w.q_norm_e, c.rms_norm_eps, saved.q_rstd_m);
    saved.k_nge = head_norm_forward(saved.raw_k_nge, w.k_norm_e, c.rms_norm_eps, saved.k_rstd_m);
  }
  rope_rotate(saved.q_nhe, angles, /*inverse=*/false);
  rope_rotate(saved.k_nge, angles, /*inverse=*/false);
  saved.x_nd = x_nd;
  saved.input_rstd_n = input_rstd_n;
}

at::Tensor block_output(const Transformer& model, size_t layer, const at::Tensor& heads_nhe, BlockSaved& saved) {
  const BlockParameters& w = model.weights.blocks[layer];
  saved.middle_nd = linear_forward(heads_nhe.view({heads_nhe.size(0), -1}), w.o).add_(saved.x_nd);
  const auto [ffn_input_nd, attention_rstd_n] =
      rms_norm_forward(saved.middle_nd, w.attention_norm_d, model.config.rms_norm_eps);
  saved.gate_nf = linear_forward(ffn_input_nd, w.gate);
  saved.up_nf = linear_forward(ffn_input_nd, w.up);
  saved.attention_rstd_n = attention_rstd_n;
  return linear_forward(swiglu_forward(saved.gate_nf, saved.up_nf), w.down).add_(saved.middle_nd);
}

at::Tensor block_forward(const Transformer& model, size_t layer, const at::Tensor& x_nd, const PackedTokens& tokens,
                         BlockSaved& saved) {
  block_input(model, layer, x_nd, tokens.angles, saved);
  const std::int64_t window = model.config.window(static_cast<std::int64_t>(layer));
  saved.attention = attention_forward(saved.q_nhe, saved.k_nge, saved.v_nge, tokens.cu_seqlens, window);
  return block_output(model, layer, saved.attention.out_nhe, saved);
}

at::Tensor block_backward(const Transformer& model, size_t layer, const at::Tensor& dy_nd, const PackedTokens& tokens,
                          const BlockSaved& saved, BlockParameters& g) {
  const BlockParameters& w = model.weights.blocks[layer];
  const std::int64_t n = dy_nd.size(0);

  // y = middle + down(swiglu(gate, up)),  gate, up = linear(norm(middle))
  const at::Tensor dproduct_nf = linear_backward(dy_nd, swiglu_forward(saved.gate_nf, saved.up_nf), w.down, g.down);
  const auto [dgate_nf, dup_nf] = swiglu_backward(dproduct_nf, saved.gate_nf, saved.up_nf);
  const at::Tensor ffn_input_nd = rms_norm_recompute(saved.middle_nd, w.attention_norm_d, saved.attention_rstd_n);
  const at::Tensor dffn_input_nd =
      linear_backward(dgate_nf, ffn_input_nd, w.gate, g.gate).add_(linear_backward(dup_nf, ffn_input_nd, w.up, g.up));
  const at::Tensor dmiddle_nd =
      rms_norm_backward(dffn_input_nd, saved.middle_nd, w.attention_norm_d, saved.attention_rstd_n, g.attention_norm_d)
          .add_(dy_nd);

  // middle = x + o(attention(rope(q), rope(k), v)),  q, k, v = linear(norm(x)), q and k normalised where there are
  // norms
  const at::Tensor dout_nhe =
      linear_backward(dmiddle_nd, saved.attention.out_nhe.view({n, -1}), w.o, g.o).view(saved.q_nhe.sizes());
  auto [dq_nhe, dk_nge, dv_nge] =
      attention_backward(dout_nhe, saved.q_nhe, saved.k_nge, saved.v_nge, saved.attention, tokens.cu_seqlens,
                         model.config.window(static_cast<std::int64_t>(layer)));
  rope_rotate(dq_nhe, tokens.angles, /*inverse=*/true);
  rope_rotate(dk_nge, tokens.angles, /*inverse=*/true);
  if (model.config.qk_norm) {
    dq_nhe = head_norm_backward(dq_nhe, saved.raw_q_nhe, w.q_norm_e, saved.q_rstd_m, g.q_norm_e);
    dk_nge = head_norm_backward(dk_nge, saved.raw_k_nge, w.k_norm_e, saved.k_rstd_m, g.k_norm_e);
  }
  const at::Tensor normed_nd = rms_norm_recompute(saved.x_nd, w.input_norm_d, saved.input_rstd_n);
  const at::Tensor dnormed_nd = linear_backward(dq_nhe.view({n, -1}), normed_nd, w.q, g.q)
                                    .add_(linear_backward(dk_nge.view({n, -1}), normed_nd, w.k, g.k))
                                    .add_(linear_backward(dv_nge.view({n, -1}), normed_nd, w.v, g.v));
  return rms_norm_backward(dnormed_nd, saved.x_nd, w.input_norm_d, saved.input_rstd_n, g.input_norm_d).add_(dmiddle_nd);
}

at::Tensor trunk_forward(const Transformer& model, const PackedTokens& tokens, TrunkSaved* saved) {
  at::Tensor x_nd = embedding_forward(tokens.ids_n, model.weights.embedding_vd);
  for (size_t layer = 0; layer < model.weights.blocks.size(); ++layer) {
    BlockSaved block;
    x_nd = block_forward(model, layer, x_nd, tokens, block);
    if (saved != nullptr) saved->blocks.push_back(std::move(block));
  }
  const auto [hidden_nd, rstd_n] = rms_norm_forward(x_nd, model.weights.norm_d, model.config.rms_norm_eps);
  if (saved != nullptr) {
    saved->x_nd = x_nd;
    saved->rstd_n = rstd_n;
  }
  return hidden_nd;
}

void trunk_backward(const Transformer& model, const PackedTokens& tokens, const at::Tensor& dhidden_nd,
                    const TrunkSaved& saved, Parameters& gradients) {
  at::Tensor dx_nd = rms_norm_backward(dhidden_nd, saved.x_nd, model.weights.norm_d, saved.rstd_n, gradients.norm_d);
  for (size_t i = saved.blocks.size(); i-- > 0;) {
    dx_nd = block_backward(model, i, dx_nd, tokens, saved.blocks[i], gradients.blocks[i]);
  }
  if (gradients.embedding_vd.defined()) embedding_backward(dx_nd, tokens.ids_n, gradients.embedding_vd);
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
