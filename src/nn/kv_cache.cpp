#include "steerlm/nn/kv_cache.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <stdexcept>

#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/kernels/swiglu.h"

namespace steerlm {

KvCache make_kv_cache(const Transformer& model, std::int64_t slots, std::int64_t capacity) {
  slots = std::max(slots, min_slots);
  const ModelConfig& c = model.config;
  const auto options = model.weights.embedding_vd.options();
  KvCache cache;
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    cache.k_rgte.push_back(at::zeros({slots, c.num_key_value_heads, capacity, c.head_dim}, options));
    cache.v_rgte.push_back(at::zeros({slots, c.num_key_value_heads, capacity, c.head_dim}, options));
  }
  cache.lengths.assign(static_cast<size_t>(slots), 0);
  cache.capacity = capacity;
  return cache;
}

at::Tensor prefill(const Transformer& model, KvCache& cache, std::int64_t slot, const std::vector<std::int32_t>& ids) {
  const std::int64_t n = static_cast<std::int64_t>(ids.size());
  if (n == 0 || n > cache.capacity) throw std::logic_error("prefill: the prompt does not fit the cache");
  const PackedTokens tokens = pack_tokens({ids.begin(), ids.end()}, {0, n});
  at::Tensor x_nd = embedding_forward(tokens.ids_n, model.weights.embedding_vd);
  for (size_t i = 0; i < model.weights.blocks.size(); ++i) {
    BlockSaved saved;
    x_nd = block_forward(model, model.weights.blocks[i], x_nd, tokens, saved);
    cache.k_rgte[i].select(0, slot).narrow(1, 0, n).copy_(saved.k_nge.transpose(0, 1));
    cache.v_rgte[i].select(0, slot).narrow(1, 0, n).copy_(saved.v_nge.transpose(0, 1));
  }
  cache.lengths[slot] = n;
  return rms_norm_forward(x_nd.narrow(0, n - 1, 1).contiguous(), model.weights.norm_d, model.config.rms_norm_eps).y_nd;
}

at::Tensor decode_step(const Transformer& model, KvCache& cache, const std::vector<std::int32_t>& ids, const std::vector<bool>& active) {
  const ModelConfig& c = model.config;
  const std::int64_t r = static_cast<std::int64_t>(cache.lengths.size());
  std::vector<std::int64_t> ids_r(ids.begin(), ids.end()), positions_r(ids.size(), 0), lengths(ids.size(), 0);
  for (std::int64_t slot = 0; slot < r; ++slot) {
    if (!active[slot]) {
      ids_r[slot] = 0;
      continue;
    }
    if (cache.lengths[slot] >= cache.capacity) throw std::logic_error("decode_step: the cache is full");
    positions_r[slot] = cache.lengths[slot];
    lengths[slot] = ++cache.lengths[slot];
  }
  const at::Tensor position_tensor = at::tensor(positions_r, at::kLong);
  at::Tensor x_rd = embedding_forward(at::tensor(ids_r, at::kLong), model.weights.embedding_vd);
  for (std::int64_t slot = 0; slot < r; ++slot) {
    if (!active[slot]) x_rd.select(0, slot).zero_();
  }
  for (size_t i = 0; i < model.weights.blocks.size(); ++i) {
    const BlockParameters& w = model.weights.blocks[i];
    const at::Tensor normed_rd = rms_norm_forward(x_rd, w.input_norm_d, c.rms_norm_eps).y_nd;
    at::Tensor q_rhe = linear_forward(normed_rd, w.q_hd).view({r, c.num_attention_heads, c.head_dim});
    at::Tensor k_rge = linear_forward(normed_rd, w.k_gd).view({r, c.num_key_value_heads, c.head_dim});
    const at::Tensor v_rge = linear_forward(normed_rd, w.v_gd).view({r, c.num_key_value_heads, c.head_dim});
    rope_rotate(q_rhe, position_tensor, model.rope, /*inverse=*/false);
    rope_rotate(k_rge, position_tensor, model.rope, /*inverse=*/false);
    for (std::int64_t slot = 0; slot < r; ++slot) {
      if (!active[slot]) continue;
      cache.k_rgte[i].select(0, slot).select(1, positions_r[slot]).copy_(k_rge.select(0, slot));
      cache.v_rgte[i].select(0, slot).select(1, positions_r[slot]).copy_(v_rge.select(0, slot));
    }
    const at::Tensor attention_rhe = decode_attention(q_rhe, cache.k_rgte[i], cache.v_rgte[i], lengths);
    x_rd = linear_forward(attention_rhe.view({r, -1}), w.o_dh).add_(x_rd);
    const at::Tensor ffn_input_rd = rms_norm_forward(x_rd, w.attention_norm_d, c.rms_norm_eps).y_nd;
    const at::Tensor product_rf = swiglu_forward(linear_forward(ffn_input_rd, w.gate_fd), linear_forward(ffn_input_rd, w.up_fd));
    x_rd = linear_forward(product_rf, w.down_df).add_(x_rd);
  }
  return rms_norm_forward(x_rd, model.weights.norm_d, c.rms_norm_eps).y_nd;
}

}  // namespace steerlm
