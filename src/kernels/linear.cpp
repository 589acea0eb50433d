#include "steerlm/kernels/linear.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/sum.h>

namespace steerlm {

at::Tensor linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi) { return at::mm(x_ni, w_oi.t()); }

at::Tensor linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi) { return at::mm(dy_no, w_oi); }

void linear_backward_weight(const at::Tensor& dy_no, const at::Tensor& x_ni, at::Tensor& dw_oi) {
  if (dw_oi.scalar_type() == dy_no.scalar_type()) {
    dw_oi.addmm_(dy_no.t(), x_ni);
  } else {
    dw_oi.add_(at::mm(dy_no.t(), x_ni));
  }
}

void linear_backward_bias(const at::Tensor& dy_no, at::Tensor& db_o) {
  db_o.add_(at::sum(dy_no, 0, false, db_o.scalar_type()));
}

}  // namespace steerlm
