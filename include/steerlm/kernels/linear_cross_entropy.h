// The output layer and the cross-entropy in one: -log softmax(x W^T)[target], without ever holding all logits. Rows
// without a target are left out before the product (SFT masks about half of the tokens); the rest is done in chunks of
// rows, whose logits take at most 64 MiB on a CPU, or have rows_in_turn rows, and 1 GiB on a GPU. n tokens, k of them
// with a target, d width, v vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "steerlm/core/gradient_turn.h"

namespace steerlm {

// The rows of a micro-batch that have a target, on the device of the model.
struct TargetRows {
  at::Tensor rows_k;     // int64, rising
  at::Tensor targets_k;  // int64, each in [0, v)
  at::Tensor weights_k;  // fp32, not 0
};
// Those of n rows whose weight is not 0.
TargetRows target_rows(const std::vector<std::int64_t>& targets_n, const std::vector<float>& weights_n,
                       at::Device device);

// log softmax(x W^T)[target] of these rows: (k), fp32 (fp64 for fp64).
at::Tensor linear_log_probabilities(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets);

struct LinearCrossEntropy {
  at::Tensor loss_sum;  // (1) fp64: sum over rows of weight * -log softmax(x W^T)[target]
  at::Tensor dx_nd;     // its gradient times `scale`, dtype of x
};

// Rows of dw_vd that are a stage of a turn, and the fewest rows of logits that a chunk has then: a chunk that is not
// the micro-batch's last keeps the next micro-batch waiting.
inline constexpr std::int64_t gradient_rows = 1024, rows_in_turn = 512;

// Adds the gradient of loss_sum * scale to dw_vd (fp32; fp64 for fp64), unless that is undefined; in `turn` where other
// micro-batches add to it too, on a CPU.
LinearCrossEntropy linear_cross_entropy(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets,
                                        double scale, at::Tensor& dw_vd, const GradientTurn& turn = {});

}  // namespace steerlm
