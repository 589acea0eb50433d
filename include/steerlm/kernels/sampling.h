// One token from a row of logits: temperature, then top-k (Fan et al. 2018), then top-p (Holtzman et al. 2020).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace steerlm {

struct SampledToken {
  std::int32_t id;
  double logprob;  // log softmax(logits)[id], before temperature, top-k and top-p
};

// Where a logit is not finite, logprob is NaN and id means nothing.
// temperature 0: the largest logit, the smaller id on a tie. top_k 0: all. `uniform` in [0, 1) is the one random draw.
SampledToken sample_token(std::span<const float> logits, double temperature, std::int64_t top_k, double top_p,
                          double uniform);

}  // namespace steerlm
