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

// The same for one position a row, on a GPU: positions_n int32, frequencies (e/2) fp32. Throws std::logic_error for
// tensors on a CPU.
RopeAngles rope_angles_at(const at::Tensor& positions_n, const at::Tensor& frequencies, double scale);

// Turns x_nhe (n tokens, h heads, e head width) in place by the angles of its tokens. Backward is the transpose: the
// same call on the gradient with `inverse`. The heads of a token are contiguous; its rows may lie apart, as those of a
// view of a wider tensor do.
void rope_rotate(at::Tensor& x_nhe, const RopeAngles& angles, bool inverse);
// The same on a GPU into y, (n, h*e) with rows that may be ranges of wider ones.
void rope_rotate_into(const at::Tensor& x_nhe, const RopeAngles& angles, bool inverse, at::Tensor& y_nd);

}  // namespace steerlm
