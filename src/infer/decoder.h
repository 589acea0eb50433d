// Decode steps of many slots, each from the last token of every slot to its next one.
#pragma once

#include <vector>

#include "infer/response.h"
#include "steerlm/kernels/device.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {

// On a GPU the work of a step is recorded at the second one and replayed from then on: a step of a small model is
// hundreds of launches, which cost more than what they compute.
class Decoder {
 public:
  // Keeps pointers to all three.
  Decoder(const Transformer& model, KvCache& cache, const GenerationSettings& settings);

  // Appends ids[slot] to each active slot and draws its next token by uniform[slot]; all as long as cache.lengths.
  HostTokens step(const std::vector<std::int32_t>& ids, const std::vector<bool>& active,
                  const std::vector<double>& uniform);

 private:
  // One buffer for what the host says of a step, so that it is one copy: ids, positions, lengths, draws.
  void upload(const HostRows& rows, const std::vector<double>& uniform);
  void enqueue();

  const Transformer* model_;
  KvCache* cache_;
  const GenerationSettings* settings_;
  at::Tensor slots_r_, frequencies_, input_4r_;  // on the GPU
  SampledTokens drawn_;
  std::int64_t steps_ = 0;
  RecordedWork work_;
};

}  // namespace steerlm
