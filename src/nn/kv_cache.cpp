#include "steerlm/nn/kv_cache.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <stdexcept>

#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/rms_norm.h"
#include "steerlm/nn/rope.h"

namespace steerlm {

KvCache make_kv_cache(const Transformer& model, std::int64_t slots, std::int64_t capacity) {
  const ModelConfig& c = model.config;
  const auto options = model.weights.embedding_vd.options();
  KvCache cache;
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    cache.k_rgte.push_back(at::zeros({slots, c.num_key_value_heads, capacity, c.head_dim}, options));
    cache.v_rgte.push_back(at::zeros({slots, c.num_key_value_heads, capacity, c.head_dim}, options));
  }
  cache.lengths.assign(static_cast<size_t>(std::max(slots, min_slots)), 0);
  cache.capacity = capacity;
  return cache;
}

at::Tensor prefill(const Transformer& model, KvCache& cache, std::int64_t slot, const std::vector<std::int32_t>& ids) {
  const std::int64_t n = static_cast<std::int64_t>(ids.size()), before = cache.lengths[slot];
  if (n == 0 || before + n > cache.capacity) throw std::logic_error("prefill: the prompt does not fit the cache");
  const std::vector<std::int64_t> cu_seqlens{0, n};
  const RopeAngles angles = rope_angles(model.config, cu_seqlens, before, model.dtype());
  at::Tensor x_nd = embedding_forward(at::tensor(std::vector<std::int64_t>(ids.begin(), ids.end()), at::kLong),
                                      model.weights.embedding_vd);
  for (size_t i = 0; i < model.weights.blocks.size(); ++i) {
    BlockSaved saved;
    block_input(model, i, x_nd, angles, saved);
    const at::Tensor k_gte = cache.k_rgte[i].select(0, slot), v_gte = cache.v_rgte[i].select(0, slot);
    k_gte.narrow(1, before, n).copy_(saved.k_nge.transpose(0, 1));
    v_gte.narrow(1, before, n).copy_(saved.v_nge.transpose(0, 1));
    const std::int64_t window = model.config.window(static_cast<std::int64_t>(i));
    const at::Tensor heads_nhe =
        before == 0
            ? attention_forward(saved.q_nhe, saved.k_nge, saved.v_nge, cu_seqlens, window).out_nhe
            : cached_attention(saved.q_nhe, k_gte.narrow(1, 0, before + n), v_gte.narrow(1, 0, before + n), window);
    x_nd = block_output(model, i, heads_nhe, saved);
  }
  cache.lengths[slot] = before + n;
  return rms_norm_forward(x_nd.narrow(0, n - 1, 1).contiguous(), model.weights.norm_d, model.config.rms_norm_eps).y_nd;
}

namespace {

// Angles of one token a row, each at a position of its own.
RopeAngles angles_at(const Transformer& model, const std::vector<std::int64_t>& positions_r) {
  const ModelConfig& c = model.config;
  const auto rows = static_cast<std::int64_t>(positions_r.size());
  const at::ScalarType dtype = model.dtype() == at::kDouble ? at::kDouble : at::kFloat;
  RopeAngles angles{at::empty({rows, c.head_dim / 2}, dtype), at::empty({rows, c.head_dim / 2}, dtype)};
  std::vector<float> frequencies = inverse_frequencies(c, 0);
  for (std::int64_t row = 0; row < rows; ++row) {
    if (c.rope_scaling.kind == RopeKind::dynamic) frequencies = inverse_frequencies(c, positions_r[row] + 1);
    rope_fill(angles, row, positions_r[row], 1, frequencies, rope_attention_factor(c.rope_scaling));
  }
  return angles;
}

}  // namespace

at::Tensor decode_step(const Transformer& model, KvCache& cache, const std::vector<std::int32_t>& ids,
                       const std::vector<bool>& active) {
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
  const RopeAngles angles = angles_at(model, positions_r);
  at::Tensor x_rd = embedding_forward(at::tensor(ids_r, at::kLong), model.weights.embedding_vd);
  for (std::int64_t slot = 0; slot < r; ++slot) {
    if (!active[slot]) x_rd.select(0, slot).zero_();
  }
  for (size_t i = 0; i < model.weights.blocks.size(); ++i) {
    BlockSaved saved;
    block_input(model, i, x_rd, angles, saved);
    for (std::int64_t slot = 0; slot < r; ++slot) {
      if (!active[slot]) continue;
      cache.k_rgte[i].select(0, slot).select(1, positions_r[slot]).copy_(saved.k_nge.select(0, slot));
      cache.v_rgte[i].select(0, slot).select(1, positions_r[slot]).copy_(saved.v_nge.select(0, slot));
    }
    const std::int64_t window = model.config.window(static_cast<std::int64_t>(i));
    x_rd =
        block_output(model, i, decode_attention(saved.q_nhe, cache.k_rgte[i], cache.v_rgte[i], lengths, window), saved);
  }
  return rms_norm_forward(x_rd, model.weights.norm_d, model.config.rms_norm_eps).y_nd;
}

}  // namespace steerlm
