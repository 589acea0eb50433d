#include "steerlm/nn/kv_cache.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <stdexcept>

#include "steerlm/kernels/device.h"
#include "steerlm/kernels/embedding.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/rows.h"
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

namespace {

// Prompts in one pack, which begin in their slots where `before` says; more than one only from the beginning.
at::Tensor prefill_pack(const Transformer& model, KvCache& cache, std::span<const SlotPrompt> prompts,
                        std::int64_t before) {
  std::vector<std::int64_t> ids, cu_seqlens{0};
  std::vector<std::int32_t> slots, positions;
  for (const SlotPrompt& prompt : prompts) {
    const auto n = static_cast<std::int64_t>(prompt.ids.size());
    if (n == 0 || before + n > cache.capacity) throw std::logic_error("prefill: the prompt does not fit the cache");
    ids.insert(ids.end(), prompt.ids.begin(), prompt.ids.end());
    cu_seqlens.push_back(cu_seqlens.back() + n);
    for (std::int64_t i = 0; i < n; ++i) {
      slots.push_back(static_cast<std::int32_t>(prompt.slot));
      positions.push_back(static_cast<std::int32_t>(before + i));
    }
  }
  const at::Device device = model.device();
  const RopeAngles angles = rope_angles(model.config, cu_seqlens, before, model.dtype(), device);
  const PackedSequences sequences(cu_seqlens, device);
  const at::Tensor slots_n = to_device(slots, device), positions_n = to_device(positions, device);
  HiddenStates hidden{embedding_forward(to_device(ids, device), model.weights.embedding_vd), {}};
  for (size_t i = 0; i < model.weights.blocks.size(); ++i) {
    BlockSaved saved;
    block_input(model, i, hidden, angles, saved);
    cache_write(saved.k_nge, saved.v_nge, slots_n, positions_n, cache.k_rgte[i], cache.v_rgte[i]);
    const std::int64_t window = model.config.window(static_cast<std::int64_t>(i));
    const auto cached = [&](const at::Tensor& x_rgte) {
      return x_rgte.select(0, prompts[0].slot).narrow(1, 0, before + cu_seqlens.back());
    };
    const at::Tensor heads_nhe =
        before == 0 ? attention_forward(saved.q_nhe, saved.k_nge, saved.v_nge, sequences, window).out_nhe
                    : cached_attention(saved.q_nhe, cached(cache.k_rgte[i]), cached(cache.v_rgte[i]), window);
    hidden = block_output(model, i, heads_nhe, saved);
  }
  for (const SlotPrompt& prompt : prompts)
    cache.lengths[prompt.slot] = before + static_cast<std::int64_t>(prompt.ids.size());
  const at::Tensor last_b = to_device(last_rows(cu_seqlens), device);
  const HiddenStates last{gather_rows(hidden.x_nd, last_b), gather_rows(hidden.residual_nd, last_b)};
  return final_norm(model, last, nullptr);
}

}  // namespace

at::Tensor prefill(const Transformer& model, KvCache& cache, std::span<const SlotPrompt> prompts) {
  constexpr size_t pack_tokens = 16384;
  std::vector<at::Tensor> hidden;
  for (size_t begin = 0, end = 0; begin < prompts.size(); begin = end) {
    const std::int64_t before = cache.lengths[prompts[begin].slot];
    size_t tokens = prompts[begin].ids.size();
    end = begin + 1;
    while (model.device().is_cuda() && before == 0 && end < prompts.size() && cache.lengths[prompts[end].slot] == 0 &&
           tokens + prompts[end].ids.size() <= pack_tokens)
      tokens += prompts[end++].ids.size();
    hidden.push_back(prefill_pack(model, cache, prompts.subspan(begin, end - begin), before));
  }
  return hidden.size() == 1 ? hidden.front() : hidden.empty() ? at::Tensor() : at::cat(hidden);
}

HostRows advance(KvCache& cache, const std::vector<bool>& active) {
  HostRows rows{std::vector<std::int32_t>(active.size(), -1), std::vector<std::int32_t>(active.size(), 0)};
  for (size_t slot = 0; slot < cache.lengths.size(); ++slot) {
    if (!active[slot]) continue;
    if (cache.lengths[slot] >= cache.capacity) throw std::logic_error("decode_step: the cache is full");
    rows.positions[slot] = static_cast<std::int32_t>(cache.lengths[slot]);
    rows.lengths[slot] = static_cast<std::int32_t>(++cache.lengths[slot]);
  }
  return rows;
}

at::Tensor decode_rows(const Transformer& model, KvCache& cache, const DecodeRows& rows, const RopeAngles& angles,
                       std::int64_t longest) {
  HiddenStates hidden{embedding_forward(rows.ids_r, model.weights.embedding_vd), {}};
  const at::Tensor slots_r = model.device().is_cuda() ? at::Tensor() : rows.slots_r;
  for (size_t i = 0; i < model.weights.blocks.size(); ++i) {
    BlockSaved saved;
    block_input(model, i, hidden, angles, saved);
    cache_write(saved.k_nge, saved.v_nge, rows.slots_r, rows.positions_r, cache.k_rgte[i], cache.v_rgte[i]);
    const std::int64_t window = model.config.window(static_cast<std::int64_t>(i));
    hidden = block_output(
        model, i,
        decode_attention(saved.q_nhe, cache.k_rgte[i], cache.v_rgte[i], rows.lengths_r, longest, window, slots_r),
        saved);
  }
  return final_norm(model, hidden, nullptr);
}

std::vector<std::int64_t> stepped_slots(const Transformer& model, const std::vector<bool>& active) {
  const bool all =
      model.device().is_cuda() || !rows_are_independent(model.dtype(), static_cast<std::int64_t>(active.size()));
  std::vector<std::int64_t> slots;
  for (size_t slot = 0; slot < active.size(); ++slot) {
    if (all || active[slot]) slots.push_back(static_cast<std::int64_t>(slot));
  }
  return slots;
}

at::Tensor decode_step(const Transformer& model, KvCache& cache, const std::vector<std::int32_t>& ids,
                       const std::vector<bool>& active) {
  const HostRows all = advance(cache, active);
  const at::Device device = model.device();
  std::vector<std::int64_t> appended;
  std::vector<std::int32_t> slots, lengths, positions;
  for (const std::int64_t slot : stepped_slots(model, active)) {
    slots.push_back(static_cast<std::int32_t>(slot));
    appended.push_back(active[slot] ? ids[slot] : 0);
    positions.push_back(all.positions[slot]);
    lengths.push_back(all.lengths[slot]);
  }
  const RopeAngles angles = rope_angles_of(model.config, {positions.begin(), positions.end()}, model.dtype(), device);
  return decode_rows(
      model, cache,
      {to_device(appended, device), to_device(positions, device), to_device(lengths, device), to_device(slots, device)},
      angles, std::ranges::max(lengths));
}

}  // namespace steerlm
