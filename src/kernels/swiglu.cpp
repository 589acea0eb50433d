#include "steerlm/kernels/swiglu.h"

#include <ATen/ops/silu.h>
#include <ATen/ops/silu_backward.h>

namespace steerlm {

at::Tensor swiglu_forward(const at::Tensor& gate_nf, const at::Tensor& up_nf) { return at::silu(gate_nf).mul_(up_nf); }

SwigluGradients swiglu_backward(const at::Tensor& dy_nf, const at::Tensor& gate_nf, const at::Tensor& up_nf) {
  at::Tensor dup_nf = at::silu(gate_nf).mul_(dy_nf);
  at::Tensor dgate_nf = at::silu_backward(dy_nf.mul(up_nf), gate_nf);
  return {dgate_nf, dup_nf};
}

}  // namespace steerlm
