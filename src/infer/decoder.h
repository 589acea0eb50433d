// Responses of many slots, token by token. The token that was drawn last for a slot stays on the device and is what the
// next step appends, so that a step can be given to the device before the host has read the one before.
#pragma once

#include <span>
#include <vector>

#include "infer/response.h"
#include "steerlm/kernels/device.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {

// Tokens that a device was told to draw.
class DrawnTokens {
 public:
  explicit DrawnTokens(const at::Tensor& in_one_tensor_2r) : copy_(in_one_tensor_2r) {}
  HostTokens wait() { return from_one_tensor(copy_.wait()); }

 private:
  HostCopy copy_;
};

// On a GPU the work of a step is recorded at the second one and replayed from then on: a step of a small model is
// hundreds of launches, which cost more than what they compute.
class Decoder {
 public:
  // Keeps pointers to all three.
  Decoder(const Transformer& model, KvCache& cache, const GenerationSettings& settings);

  // Reads prompts into their slots and draws the token that follows each, by a number of `uniform` each. A row a
  // prompt.
  DrawnTokens prefill(std::span<const SlotPrompt> prompts, const std::vector<double>& uniform);
  // Appends to each active slot the token that was drawn for it last and draws its next one by uniform[slot]. A row a
  // slot; both arguments are as long as cache.lengths.
  DrawnTokens step(const std::vector<bool>& active, const std::vector<double>& uniform);

 private:
  SampledTokens draw(const at::Tensor& hidden_rd, const at::Tensor& uniform_r) const;
  // One buffer for what the host says of a step, so that it is one copy: positions, lengths, draws.
  void upload(const HostRows& rows, const std::vector<double>& uniform);
  void enqueue();

  const Transformer* model_;
  KvCache* cache_;
  const GenerationSettings* settings_;
  at::Tensor last_ids_r_;                        // int64: what was drawn last for each slot; 0: nothing yet
  at::Tensor slots_r_, frequencies_, input_3r_;  // on a GPU
  at::Tensor drawn_2r_;
  std::int64_t steps_ = 0;
  RecordedWork work_;
};

}  // namespace steerlm
