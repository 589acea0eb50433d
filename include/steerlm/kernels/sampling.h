// One token from a row of logits: temperature, then top-k (Fan et al. 2018), then top-p (Holtzman et al. 2020).
#pragma once

#include <ATen/core/Tensor.h>

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

// One token of each row of logits_rv (fp32; on a GPU bf16 too) by the draws uniform_r (fp64, on the device of the
// logits).
// A negative draw: nobody asks for that row, and its result means nothing.
struct SampledTokens {
  at::Tensor ids_r;       // int32
  at::Tensor logprobs_r;  // fp64; NaN where a logit of the row is not finite, whose id means nothing
};
SampledTokens sample_tokens(const at::Tensor& logits_rv, const at::Tensor& uniform_r, double temperature,
                            std::int64_t top_k, double top_p);

}  // namespace steerlm
