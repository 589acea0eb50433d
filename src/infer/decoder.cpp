#include "infer/decoder.h"

#include <ATen/ops/empty.h>

#include <bit>
#include <numeric>

#include "steerlm/nn/rope.h"

namespace steerlm {

Decoder::Decoder(const Transformer& model, KvCache& cache, const GenerationSettings& settings)
    : model_(&model), cache_(&cache), settings_(&settings) {
  if (!model.device().is_cuda()) return;
  const auto rows = static_cast<std::int64_t>(cache.lengths.size());
  std::vector<std::int32_t> slots(cache.lengths.size());
  std::iota(slots.begin(), slots.end(), 0);
  slots_r_ = to_device(slots, model.device());
  frequencies_ = to_device(inverse_frequencies(model.config, 0), model.device());
  input_4r_ = at::empty({4, rows}, at::TensorOptions(at::kLong).device(model.device()));
}

void Decoder::upload(const HostRows& rows, const std::vector<double>& uniform) {
  std::vector<std::int64_t> input(rows.ids);
  input.insert(input.end(), rows.positions.begin(), rows.positions.end());
  input.insert(input.end(), rows.lengths.begin(), rows.lengths.end());
  for (const double draw : uniform) input.push_back(std::bit_cast<std::int64_t>(draw));
  input_4r_.copy_(to_device(input, model_->device()).view(input_4r_.sizes()));
}

void Decoder::enqueue() {
  const DecodeRows rows{input_4r_.select(0, 0), input_4r_.select(0, 1).to(at::kInt),
                        input_4r_.select(0, 2).to(at::kInt), slots_r_};
  const RopeAngles angles =
      rope_angles_at(rows.positions_r, frequencies_, rope_attention_factor(model_->config.rope_scaling));
  const SamplingOptions& sampling = settings_->sampling;
  drawn_ =
      sample_tokens(response_logits(*model_, decode_rows(*model_, *cache_, rows, angles, cache_->capacity)),
                    input_4r_.select(0, 3).view(at::kDouble), sampling.temperature, sampling.top_k, sampling.top_p);
}

HostTokens Decoder::step(const std::vector<std::int32_t>& ids, const std::vector<bool>& active,
                         const std::vector<double>& uniform) {
  if (!model_->device().is_cuda() || angles_depend_on_length(model_->config))
    return sample_rows(response_logits(*model_, decode_step(*model_, *cache_, ids, active)), uniform, *settings_);
  upload(advance(*cache_, ids, active), uniform);
  if (work_.recorded()) {
    work_.replay();
  } else if (steps_++ == 0) {
    enqueue();
  } else {
    work_.record(model_->device(), [&] { enqueue(); });
    work_.replay();
  }
  return to_host(drawn_);
}

}  // namespace steerlm
