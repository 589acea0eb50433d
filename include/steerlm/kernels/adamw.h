// AdamW (Loshchilov and Hutter 2019) on fp32 masters, in torch.optim.AdamW's order of operations:
//   w -= lr * decay * w;  m += (1-b1)(g-m);  v = b2 v + (1-b2) g^2;
//   w -= lr/(1-b1^t) * m / (sqrt(v)/sqrt(1-b2^t) + eps)
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

namespace steerlm {

struct AdamwSettings {
  double learning_rate;
  double weight_decay;
  double beta1;
  double beta2;
  double eps;
};

// One step t (from 1) for all tensors at once; the lists run side by side, all fp32 (or all fp64), contiguous.
void adamw_step(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& gradients,
                const std::vector<at::Tensor>& first_moments, const std::vector<at::Tensor>& second_moments,
                const AdamwSettings& settings, std::int64_t t);

// sqrt of the sum of all squares, summed in fp64 tensor by tensor. Not finite if any entry is not.
double global_norm(const std::vector<at::Tensor>& tensors);

// Multiplies every tensor by `factor`, in place.
void scale_all(const std::vector<at::Tensor>& tensors, double factor);

}  // namespace steerlm
