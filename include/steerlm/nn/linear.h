// A projection with what it may have beside its weight: a bias, a low-rank update (LoRA, Hu et al. 2021).
//   y = W x + bias + s B A x
// n tokens, i in, o out, r rank.
#pragma once

#include "steerlm/nn/parameters.h"

namespace steerlm {

at::Tensor linear_forward(const at::Tensor& x_ni, const LinearParameters& w);

// Returns dx = W^T dy + s A^T B^T dy and adds to the members of `gradients` that are there:
//   dW = dy x^T, dbias = sum of dy, dB = s dy (A x)^T, dA = s (B^T dy) x^T
at::Tensor linear_backward(const at::Tensor& dy_no, const at::Tensor& x_ni, const LinearParameters& w,
                           LinearParameters& gradients);

}  // namespace steerlm
