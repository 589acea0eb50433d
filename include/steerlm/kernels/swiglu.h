// SwiGLU (Shazeer 2020): y = silu(gate) * up, silu(z) = z * sigmoid(z), element by element.
#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

at::Tensor swiglu_forward(const at::Tensor& gate_nf, const at::Tensor& up_nf);

struct SwigluGradients {
  at::Tensor dgate_nf;
  at::Tensor dup_nf;
};
SwigluGradients swiglu_backward(const at::Tensor& dy_nf, const at::Tensor& gate_nf, const at::Tensor& up_nf);

}  // namespace steerlm
