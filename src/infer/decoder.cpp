#include "infer/decoder.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <bit>
#include <numeric>

#include "steerlm/nn/rope.h"

namespace steerlm {
namespace {

std::vector<std::int32_t> ids_on_host(const at::Tensor& ids_r) {
  const at::Tensor host_r = to_host(ids_r);
  const std::int64_t* ids = host_r.const_data_ptr<std::int64_t>();
  return {ids, ids + host_r.numel()};
}

// What a step may append: a row that drew nothing has -1, which is no row of the embedding.
at::Tensor appendable(const SampledTokens& drawn) { return drawn.ids_r.to(at::kLong).clamp_min(0); }

}  // namespace

Decoder::Decoder(const Transformer& model, KvCache& cache, const GenerationSettings& settings)
    : model_(&model), cache_(&cache), settings_(&settings) {
  const auto rows = static_cast<std::int64_t>(cache.lengths.size());
  const at::TensorOptions integers = at::TensorOptions(at::kLong).device(model.device());
  last_ids_r_ = at::zeros({rows}, integers);
  if (!model.device().is_cuda()) return;
  std::vector<std::int32_t> slots(cache.lengths.size());
  std::iota(slots.begin(), slots.end(), 0);
  slots_r_ = to_device(slots, model.device());
  frequencies_ = to_device(inverse_frequencies(model.config, 0), model.device());
  input_3r_ = at::empty({3, rows}, integers);
}

SampledTokens Decoder::draw(const at::Tensor& hidden_rd, const at::Tensor& uniform_r) const {
  const SamplingOptions& sampling = settings_->sampling;
  return sample_tokens(response_logits(*model_, hidden_rd), uniform_r, sampling.temperature, sampling.top_k,
                       sampling.top_p);
}

DrawnTokens Decoder::prefill(std::span<const SlotPrompt> prompts, const std::vector<double>& uniform) {
  const at::Device device = model_->device();
  const SampledTokens drawn = draw(steerlm::prefill(*model_, *cache_, prompts), to_device(uniform, device));
  std::vector<std::int64_t> slots;
  for (const SlotPrompt& prompt : prompts) slots.push_back(prompt.slot);
  last_ids_r_.index_copy_(0, to_device(slots, device), appendable(drawn));
  return DrawnTokens(in_one_tensor(drawn));
}

void Decoder::upload(const HostRows& rows, const std::vector<double>& uniform) {
  std::vector<std::int64_t> input(rows.positions.begin(), rows.positions.end());
  input.insert(input.end(), rows.lengths.begin(), rows.lengths.end());
  for (const double draw : uniform) input.push_back(std::bit_cast<std::int64_t>(draw));
  input_3r_.copy_(to_device(input, model_->device()).view(input_3r_.sizes()));
}

void Decoder::enqueue() {
  const DecodeRows rows{last_ids_r_, input_3r_.select(0, 0).to(at::kInt), input_3r_.select(0, 1).to(at::kInt),
                        slots_r_};
  const RopeAngles angles =
      rope_angles_at(rows.positions_r, frequencies_, rope_attention_factor(model_->config.rope_scaling));
  const SampledTokens drawn =
      draw(decode_rows(*model_, *cache_, rows, angles, cache_->capacity), input_3r_.select(0, 2).view(at::kDouble));
  last_ids_r_.copy_(appendable(drawn));
  drawn_2r_ = in_one_tensor(drawn);
}

DrawnTokens Decoder::step(const std::vector<bool>& active, const std::vector<double>& uniform) {
  if (!model_->device().is_cuda() || angles_depend_on_length(model_->config)) {
    const std::vector<std::int64_t> slots = stepped_slots(*model_, active);
    std::vector<double> draws;
    for (const std::int64_t slot : slots) draws.push_back(uniform[slot]);
    const at::Tensor hidden_rd = decode_step(*model_, *cache_, ids_on_host(last_ids_r_), active);
    const SampledTokens drawn = draw(hidden_rd, to_device(draws, model_->device()));
    const at::Tensor slots_r = to_device(slots, model_->device());
    last_ids_r_.index_copy_(0, slots_r, appendable(drawn));
    at::Tensor drawn_2r = at::zeros({2, last_ids_r_.numel()}, drawn.logprobs_r.options());
    return DrawnTokens(drawn_2r.index_copy_(1, slots_r, in_one_tensor(drawn)));
  }
  upload(advance(*cache_, active), uniform);
  if (work_.recorded()) {
    work_.replay();
  } else if (steps_++ == 0) {
    enqueue();
  } else {
    work_.record(model_->device(), [&] { enqueue(); });
    work_.replay();
  }
  return DrawnTokens(drawn_2r_);
}

}  // namespace steerlm
