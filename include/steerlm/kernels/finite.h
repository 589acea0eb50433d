#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

// What to tell the user of a model whose outputs are not finite: loading has found its weights finite.
inline constexpr const char* beyond_range = "its weights are finite, but what it computes is beyond the range of fp32";

// Whether no element is NaN or infinite. Floating-point tensors of 16, 32 and 64 bits; reads memory once.
bool all_finite(const at::Tensor& tensor);

}  // namespace steerlm
