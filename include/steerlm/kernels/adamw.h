// AdamW (Loshchilov and Hutter 2019) on fp32 masters, in torch.optim.AdamW's order of operations:
//   w -= lr * decay * w;  m += (1-b1)(g-m);  v = b2 v + (1-b2) g^2;
//   w -= lr/(1-b1^t) * m / (sqrt(v)/sqrt(1-b2^t) + eps)
#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

struct AdamwSettings {
  double learning_rate;
  double weight_decay;
  double beta1;
  double beta2;
  double eps;
};

// What gradients of this global norm are multiplied by, as torch.nn.utils.clip_grad_norm_ does (Pascanu et al. 2013):
// min(1, largest / (norm + 1e-6)). `largest` 0: no clipping.
double clip_factor(double norm, double largest);

// Whether a step is taken and how it is clipped, decided where the numbers are: loss and norm are (1) fp64 on the
// device of the weights. One of them not finite: nothing changes.
struct AdamwGuard {
  at::Tensor loss;
  at::Tensor norm;
  double largest_norm = 0;
};

// One step t (from 1) in one pass: reads w, g, m, v and writes w, m, v and `copy`, 28 bytes an element and 2 of the
// copy. All are contiguous, of one shape, fp32 (or fp64 on a CPU). `copy` is what the model computes with: it gets the
// weights rounded to its dtype, bf16; undefined: there is none.
void adamw_step(const at::Tensor& w, const at::Tensor& g, const at::Tensor& m, const at::Tensor& v,
                const at::Tensor& copy, const AdamwSettings& settings, const AdamwGuard& guard, std::int64_t t);

// sqrt of the sum of the squares of a contiguous tensor, (1) in fp64: sums of pieces of a fixed length, then of the
// pieces in their order, so that the number of threads changes no bit. Not finite if any entry is not.
at::Tensor global_norm(const at::Tensor& tensor);

}  // namespace steerlm
