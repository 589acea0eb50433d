// Projections with what they may have beside their weights: a bias, a low-rank update (LoRA, Hu et al. 2021).
//   y = W x + bias + s B A x
// n tokens, i in, o out, r rank.
#pragma once

#include <initializer_list>
#include <vector>

#include "steerlm/nn/parameters.h"

namespace steerlm {

at::Tensor linear_forward(const at::Tensor& x_ni, const LinearParameters& w);

// Several projections of one input. Where their weights lie side by side on a GPU (FlatParameters) they are one
// product, and the results are ranges of columns of one tensor; elsewhere it is a product each.
std::vector<at::Tensor> linear_forward(const at::Tensor& x_ni, std::initializer_list<const LinearParameters*> w);

// Adds dx = W^T dy + s A^T B^T dy to dx, or makes it where dx is undefined; of several projections the sum. One product
// where the weights lie side by side, and the dy are the columns of one tensor.
void linear_backward_input(const std::vector<at::Tensor>& dy, std::initializer_list<const LinearParameters*> w,
                           at::Tensor& dx_ni);

// Adds to the members of `gradients` that are there:
//   dW = dy x^T, dbias = sum of dy, dB = s dy (A x)^T, dA = s (B^T dy) x^T
void linear_backward_weights(const std::vector<at::Tensor>& dy, const at::Tensor& x_ni,
                             std::initializer_list<const LinearParameters*> w,
                             std::initializer_list<LinearParameters*> gradients);

// Ranges of columns of one new tensor (n, sum of widths), for a dy of several projections; `like` gives dtype and
// device.
std::vector<at::Tensor> columns_side_by_side(std::int64_t n, const std::vector<std::int64_t>& widths,
                                             const at::Tensor& like);

}  // namespace steerlm
