#include "steerlm/nn/transformer.h"

#include <ATen/ops/zeros_like.h>

#include "steerlm/kernels/device.h"
#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/kernels/swiglu.h"
#include "steerlm/nn/linear.h"
#include "steerlm/nn/rope.h"

namespace steerlm {

PackedTokens pack_tokens(const Transformer& model, const std::vector<std::int64_t>& ids,
                         const std::vector<std::int64_t>& cu_seqlens) {
  return {to_device(ids, model.device()), rope_angles(model.config, cu_seqlens, 0, model.dtype(), model.device()),
          PackedSequences(cu_seqlens, model.device())};
}

namespace {

// The norm of hidden states, which it adds up and leaves in sum_nd.
at::Tensor add_norm(const HiddenStates& hidden, const at::Tensor& w_d, double eps, at::Tensor& sum_nd,
                    at::Tensor& rstd_n) {
  if (!hidden.residual_nd.defined()) {
    auto [y_nd, rstd] = rms_norm_forward(hidden.x_nd, w_d, eps);
    sum_nd = hidden.x_nd;
    rstd_n = rstd;
    return y_nd;
  }
  auto [sum, y_nd, rstd] = add_rms_norm_forward(hidden.x_nd, hidden.residual_nd, w_d, eps);
  sum_nd = sum;
  rstd_n = rstd;
  return y_nd;
}

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

void block_input(const Transformer& model, size_t layer, const HiddenStates& hidden, const RopeAngles& angles,
                 BlockSaved& saved) {
  const ModelConfig& c = model.config;
  const BlockParameters& w = model.weights.blocks[layer];
  const std::int64_t n = hidden.x_nd.size(0);

  const at::Tensor normed_nd = add_norm(hidden, w.input_norm_d, c.rms_norm_eps, saved.x_nd, saved.input_rstd_n);
  const std::vector<at::Tensor> qkv = linear_forward(normed_nd, {&w.q, &w.k, &w.v});
  saved.q_nhe = qkv[0].view({n, c.num_attention_heads, c.head_dim});
  saved.k_nge = qkv[1].view({n, c.num_key_value_heads, c.head_dim});
  saved.v_nge = qkv[2].view({n, c.num_key_value_heads, c.head_dim});
  if (c.qk_norm) {
    saved.raw_q_nhe = saved.q_nhe.contiguous();
    saved.raw_k_nge = saved.k_nge.contiguous();
    saved.q_nhe = head_norm_forward(saved.raw_q_nhe, w.q_norm_e, c.rms_norm_eps, saved.q_rstd_m);
    saved.k_nge = head_norm_forward(saved.raw_k_nge, w.k_norm_e, c.rms_norm_eps, saved.k_rstd_m);
  }
  rope_rotate(saved.q_nhe, angles, /*inverse=*/false);
  rope_rotate(saved.k_nge, angles, /*inverse=*/false);
}

namespace {

// middle = x + o(heads),  gate, up = linear(norm(middle))
void block_middle(const Transformer& model, size_t layer, const at::Tensor& heads_nhe, BlockSaved& saved) {
  const BlockParameters& w = model.weights.blocks[layer];
  const HiddenStates hidden{linear_forward(heads_nhe.view({heads_nhe.size(0), -1}), w.o), saved.x_nd};
  const at::Tensor ffn_input_nd =
      add_norm(hidden, w.attention_norm_d, model.config.rms_norm_eps, saved.middle_nd, saved.attention_rstd_n);
  const std::vector<at::Tensor> gate_up = linear_forward(ffn_input_nd, {&w.gate, &w.up});
  saved.gate_nf = gate_up[0];
  saved.up_nf = gate_up[1];
}

void block_attention(const Transformer& model, size_t layer, const PackedTokens& tokens, BlockSaved& saved) {
  saved.attention = attention_forward(saved.q_nhe, saved.k_nge, saved.v_nge, tokens.sequences,
                                      model.config.window(static_cast<std::int64_t>(layer)));
}

}  // namespace

HiddenStates block_output(const Transformer& model, size_t layer, const at::Tensor& heads_nhe, BlockSaved& saved) {
  block_middle(model, layer, heads_nhe, saved);
  return {linear_forward(swiglu_forward(saved.gate_nf, saved.up_nf), model.weights.blocks[layer].down),
          saved.middle_nd};
}

namespace {

at::Tensor block_backward(const Transformer& model, size_t layer, const at::Tensor& dy_nd, const PackedTokens& tokens,
                          const BlockSaved& saved, BlockParameters& g) {
  const BlockParameters& w = model.weights.blocks[layer];
  const std::int64_t n = dy_nd.size(0);

  // y = middle + down(swiglu(gate, up)),  gate, up = linear(norm(middle))
  at::Tensor dproduct_nf, dffn_input_nd;
  linear_backward_input({dy_nd}, {&w.down}, dproduct_nf);
  SwigluGradients ffn = swiglu_backward(dproduct_nf, saved.gate_nf, saved.up_nf);
  dproduct_nf.reset();  // what is wide is let go as soon as it is used
  linear_backward_weights({dy_nd}, ffn.y_nf, {&w.down}, {&g.down});
  ffn.y_nf.reset();
  at::Tensor ffn_input_nd = rms_norm_recompute(saved.middle_nd, w.attention_norm_d, saved.attention_rstd_n);
  linear_backward_input({ffn.dgate_nf, ffn.dup_nf}, {&w.gate, &w.up}, dffn_input_nd);
  linear_backward_weights({ffn.dgate_nf, ffn.dup_nf}, ffn_input_nd, {&w.gate, &w.up}, {&g.gate, &g.up});
  ffn = {};
  ffn_input_nd.reset();
  const at::Tensor dmiddle_nd = rms_norm_backward(dffn_input_nd, saved.middle_nd, w.attention_norm_d,
                                                  saved.attention_rstd_n, g.attention_norm_d, dy_nd);

  // middle = x + o(attention(rope(q), rope(k), v)),  q, k, v = linear(norm(x)), q and k normalised where there are
  // norms
  at::Tensor dout_nd, dnormed_nd;
  linear_backward_input({dmiddle_nd}, {&w.o}, dout_nd);
  linear_backward_weights({dmiddle_nd}, saved.attention.out_nhe.view({n, -1}), {&w.o}, {&g.o});
  auto [dq_nhe, dk_nge, dv_nge] =
      attention_backward(dout_nd.view(saved.q_nhe.sizes()), saved.q_nhe, saved.k_nge, saved.v_nge, saved.attention,
                         tokens.sequences, model.config.window(static_cast<std::int64_t>(layer)));
  const ModelConfig& c = model.config;
  const std::int64_t q_width = c.num_attention_heads * c.head_dim, k_width = c.num_key_value_heads * c.head_dim;
  std::vector<at::Tensor> dqkv{dq_nhe.view({n, q_width}), dk_nge.view({n, k_width}), dv_nge.view({n, k_width})};
  if (c.qk_norm || !dq_nhe.is_cuda()) {
    rope_rotate(dq_nhe, tokens.angles, /*inverse=*/true);
    rope_rotate(dk_nge, tokens.angles, /*inverse=*/true);
  } else {  // on the way to one tensor, of which the products take all at once
    dqkv = columns_side_by_side(n, {q_width, k_width, k_width}, dq_nhe);
    rope_rotate_into(dq_nhe, tokens.angles, /*inverse=*/true, dqkv[0]);
    rope_rotate_into(dk_nge, tokens.angles, /*inverse=*/true, dqkv[1]);
    dqkv[2].copy_(dv_nge.view({n, k_width}));
  }
  if (c.qk_norm) {
    dqkv[0] = head_norm_backward(dq_nhe, saved.raw_q_nhe, w.q_norm_e, saved.q_rstd_m, g.q_norm_e).view({n, q_width});
    dqkv[1] = head_norm_backward(dk_nge, saved.raw_k_nge, w.k_norm_e, saved.k_rstd_m, g.k_norm_e).view({n, k_width});
  }
  const at::Tensor normed_nd = rms_norm_recompute(saved.x_nd, w.input_norm_d, saved.input_rstd_n);
  linear_backward_input(dqkv, {&w.q, &w.k, &w.v}, dnormed_nd);
  linear_backward_weights(dqkv, normed_nd, {&w.q, &w.k, &w.v}, {&g.q, &g.k, &g.v});
  return rms_norm_backward(dnormed_nd, saved.x_nd, w.input_norm_d, saved.input_rstd_n, g.input_norm_d, dmiddle_nd);
}

}  // namespace

at::Tensor final_norm(const Transformer& model, const HiddenStates& hidden, TrunkSaved* saved) {
  at::Tensor x_nd, rstd_n;
  const at::Tensor normed_nd = add_norm(hidden, model.weights.norm_d, model.config.rms_norm_eps, x_nd, rstd_n);
  if (saved != nullptr) {
    saved->x_nd = x_nd;
    saved->rstd_n = rstd_n;
  }
  return normed_nd;
}

at::Tensor trunk_forward(const Transformer& model, const PackedTokens& tokens, TrunkSaved* saved) {
  HiddenStates hidden{embedding_forward(tokens.ids_n, model.weights.embedding_vd), {}};
  for (size_t layer = 0; layer < model.weights.blocks.size(); ++layer) {
    BlockSaved block;
    block_input(model, layer, hidden, tokens.angles, block);
    block_attention(model, layer, tokens, block);
    hidden = block_output(model, layer, block.attention.out_nhe, block);
    if (saved == nullptr) continue;
    if (saved->recompute)
      saved->blocks.push_back({.x_nd = block.x_nd});
    else
      saved->blocks.push_back(std::move(block));
  }
  return final_norm(model, hidden, saved);
}

void trunk_backward(const Transformer& model, const PackedTokens& tokens, const at::Tensor& dhidden_nd,
                    TrunkSaved& saved, Parameters& gradients, const GradientTurn& turn) {
  std::int32_t stage = trunk_stage;
  turn.wait(stage);
  at::Tensor dx_nd = rms_norm_backward(dhidden_nd, saved.x_nd, model.weights.norm_d, saved.rstd_n, gradients.norm_d);
  turn.pass(stage);
  for (size_t i = saved.blocks.size(); i-- > 0;) {
    BlockSaved& block = saved.blocks[i];
    if (saved.recompute) {
      block_input(model, i, {block.x_nd, {}}, tokens.angles, block);
      block_attention(model, i, tokens, block);
      block_middle(model, i, block.attention.out_nhe, block);
    }
    if (turn.alone()) {
      dx_nd = block_backward(model, i, dx_nd, tokens, block, gradients.blocks[i]);
    } else {
      // Computed beside those of other micro-batches, and then added in turn: an addition is all that others wait for.
      Parameters sum{.blocks = {gradients.blocks[i]}}, own = sum;
      for_each_parameter(own, [](const std::string&, at::Tensor& tensor) { tensor = at::zeros_like(tensor); });
      dx_nd = block_backward(model, i, dx_nd, tokens, block, own.blocks[0]);
      const std::vector<at::Tensor> sums = to_list(sum), added = to_list(own);
      turn.wait(++stage);
      for (size_t k = 0; k < sums.size(); ++k) sums[k].add_(added[k]);
      turn.pass(stage);
    }
    saved.blocks.pop_back();
  }
  if (!gradients.embedding_vd.defined()) return;
  turn.wait(++stage);
  embedding_backward(dx_nd, tokens.ids_n, gradients.embedding_vd);
  turn.pass(stage);
}

std::vector<std::int64_t> last_rows(const std::vector<std::int64_t>& cu_seqlens) {
  std::vector<std::int64_t> rows;
  for (size_t s = 1; s < cu_seqlens.size(); ++s) rows.push_back(cu_seqlens[s] - 1);
  return rows;
}

at::Tensor attribute_scores(const Transformer& model, const at::Tensor& x_bd) {
  const at::ScalarType dtype = x_bd.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  at::Tensor scores_ba = linear_forward(x_bd.to(dtype), model.weights.score_ad.to(dtype));
  if (model.weights.score_bias_a.defined()) scores_ba.add_(model.weights.score_bias_a.to(dtype));
  return scores_ba;
}

}  // namespace steerlm
