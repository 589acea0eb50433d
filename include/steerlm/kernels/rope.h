// Rotary position embedding (Su et al. 2021) in Hugging Face's convention: component i of a head turns with component i
// + e/2 ("rotate half"), by the angle position * inverse_frequency(i).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace steerlm {

// One row a token.
struct RopeAngles {
  at::Tensor cos_ne2;  // (n, e/2), fp32 (fp64 for an fp64 model)
  at::Tensor sin_ne2;
};

// Fills rows begin … begin + positions - 1 of `angles` with the angles of positions first, first + 1, … The product
// position * inverse_frequency is rounded to fp32 as Transformers rounds it (fp64 for an fp64 model); cos and sin are
// multiplied by `scale`.
void rope_fill(RopeAngles& angles, std::int64_t begin, std::int64_t first, std::int64_t positions,
               std::span<const float> inverse_frequencies, double scale);

// Turns x_nhe (n tokens, h heads, e head width) in place by the angles of its tokens. Backward is the transpose: the
// same call on the gradient with `inverse`.
void rope_rotate(at::Tensor& x_nhe, const RopeAngles& angles, bool inverse);

}  // namespace steerlm
