// RMSNorm (Zhang and Sennrich 2019): y = x * rstd * w, rstd = 1 / sqrt(mean(x^2) + eps), each row by itself.
// n tokens, d width. fp32, bf16 and fp64; reductions in fp32 (fp64 for fp64).
#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

struct RmsNormOutput {
  at::Tensor y_nd;    // dtype of x
  at::Tensor rstd_n;  // fp32 (fp64 for fp64)
};

RmsNormOutput rms_norm_forward(const at::Tensor& x_nd, const at::Tensor& w_d, double eps);

// The norm of sum = x + residual, rounded to their dtype first.
struct AddRmsNormOutput {
  at::Tensor sum_nd;
  at::Tensor y_nd;
  at::Tensor rstd_n;
};
AddRmsNormOutput add_rms_norm_forward(const at::Tensor& x_nd, const at::Tensor& residual_nd, const at::Tensor& w_d,
                                      double eps);

// x * rstd * w again, from what forward kept.
at::Tensor rms_norm_recompute(const at::Tensor& x_nd, const at::Tensor& w_d, const at::Tensor& rstd_n);

// dx = rstd * (dy*w - x_hat * mean(dy*w*x_hat)) + dresidual with x_hat = x*rstd; an undefined dresidual counts as 0.
// dw_d += sum over rows of dy*x_hat, in a fixed order; an undefined dw_d is not computed.
at::Tensor rms_norm_backward(const at::Tensor& dy_nd, const at::Tensor& x_nd, const at::Tensor& w_d,
                             const at::Tensor& rstd_n, at::Tensor& dw_d, const at::Tensor& dresidual_nd = {});

}  // namespace steerlm
