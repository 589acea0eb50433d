// Rotary position embedding (Su et al. 2021) in Hugging Face's convention: component i of a head turns with component i + e/2
// ("rotate half"), by the angle position * theta^(-2i/e).
#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

struct RopeTable {
  at::Tensor cos_pe2;  // (positions, e/2), fp32 (fp64 for an fp64 model)
  at::Tensor sin_pe2;
};

RopeTable make_rope_table(std::int64_t positions, std::int64_t head_dim, double theta, at::ScalarType dtype);

// Turns x_nhe (n tokens, h heads, e head width) in place by the angles of positions_n (int64). Backward is the turn back:
// the same call on the gradient with `inverse`.
void rope_rotate(at::Tensor& x_nhe, const at::Tensor& positions_n, const RopeTable& table, bool inverse);

}  // namespace steerlm
