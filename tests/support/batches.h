// A batch and a prompt as tests have them, on the host, given to the functions that take them on a device.
#pragma once

#include "steerlm/nn/kv_cache.h"
#include "steerlm/train/losses.h"

namespace steerlm {

inline double language_model_gradient(const Transformer& model, const Batch& batch, double scale, Parameters& gradients,
                                      bool recompute = false) {
  return language_model_gradient(model, pack_batch(model, batch), scale, recompute, gradients).item<double>();
}
inline double regression_gradient(const Transformer& model, const Batch& batch, double scale, Parameters& gradients,
                                  bool recompute = false) {
  return regression_gradient(model, pack_batch(model, batch), scale, recompute, gradients).item<double>();
}

inline at::Tensor prefill(const Transformer& model, KvCache& cache, std::int64_t slot,
                          const std::vector<std::int32_t>& ids) {
  const SlotPrompt prompt{slot, ids};
  return prefill(model, cache, std::span(&prompt, 1));
}

}  // namespace steerlm
