#include "steerlm/kernels/linear.h"

#include <ATen/ops/addmm.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

namespace steerlm {

at::Tensor linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi) { return at::mm(x_ni, w_oi.t()); }

void linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi, double scale, at::Tensor& y_no) {
  if (y_no.is_cuda())
    y_no.addmm_(x_ni, w_oi.t(), 1, scale);
  else
    y_no.add_(at::mm(x_ni, w_oi.t()), scale);
}

at::Tensor linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi) { return at::mm(dy_no, w_oi); }

void linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi, double scale, at::Tensor& dx_ni) {
  if (dx_ni.is_cuda())
    dx_ni.addmm_(dy_no, w_oi, 1, scale);  // summed in fp32 by cuBLAS, without another pass
  else
    dx_ni.add_(at::mm(dy_no, w_oi), scale);
}

void linear_backward_weight(const at::Tensor& dy_no, const at::Tensor& x_ni, double scale, at::Tensor& dw_oi) {
  if (dw_oi.scalar_type() == dy_no.scalar_type()) {
    dw_oi.addmm_(dy_no.t(), x_ni, 1, scale);
  } else if (dw_oi.is_cuda()) {
    at::addmm_out(dw_oi, dw_oi, dy_no.t(), x_ni, dw_oi.scalar_type(), 1, scale);  // summed in fp32 inside cuBLAS
  } else {
    dw_oi.add_(at::mm(dy_no.t(), x_ni), scale);
  }
}

void linear_backward_bias(const at::Tensor& dy_no, at::Tensor& db_o) {
  db_o.add_(at::sum(dy_no, 0, false, db_o.scalar_type()));
}

}  // namespace steerlm
