// The output layer and the cross-entropy in one: -log softmax(x W^T)[target], without ever holding all logits. Rows
// without a target are left out before the product (SFT masks about half of the tokens); the rest is done in chunks of
// rows whose logits take at most 64 MiB. n tokens, d width, v vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

namespace steerlm {

// log softmax(x W^T)[target] of every row whose weight is not 0; 0 elsewhere. (n), fp32 (fp64 for fp64).
std::vector<double> linear_log_probabilities(const at::Tensor& x_nd, const at::Tensor& w_vd,
                                             const std::vector<std::int64_t>& targets,
                                             const std::vector<float>& weights);

struct LinearCrossEntropy {
  double loss_sum = 0;  // sum over rows of weight * -log softmax(x W^T)[target]
  at::Tensor dx_nd;     // its gradient times `scale`, dtype of x
};

// Adds the gradient of loss_sum * scale to dw_vd (fp32; fp64 for fp64), unless that is undefined.
LinearCrossEntropy linear_cross_entropy(const at::Tensor& x_nd, const at::Tensor& w_vd,
                                        const std::vector<std::int64_t>& targets, const std::vector<float>& weights,
                                        double scale, at::Tensor& dw_vd);

}  // namespace steerlm
