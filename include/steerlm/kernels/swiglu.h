// SwiGLU (Shazeer 2020): y = silu(gate) * up, silu(z) = z * sigmoid(z), element by element.
#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

// gate, up and y are (n, f) of one dtype: contiguous, or on a GPU views whose rows are equally far apart, such as the
// halves of one (n, 2f) tensor.
at::Tensor swiglu_forward(const at::Tensor& gate_nf, const at::Tensor& up_nf);

struct SwigluGradients {
  at::Tensor dgate_nf;
  at::Tensor dup_nf;
  at::Tensor y_nf;  // the product once more, which nobody has kept
};
// dy_nf is contiguous. The gradients are contiguous, or the halves of one (n, 2f) tensor where gate and up are.
SwigluGradients swiglu_backward(const at::Tensor& dy_nf, const at::Tensor& gate_nf, const at::Tensor& up_nf);

}  // namespace steerlm
