// y = x W^T, W as Hugging Face stores it: (out, in).
#pragma once

#include <ATen/core/Tensor.h>

#include <limits>

namespace steerlm {

// Do the bits of a row of these products on a CPU depend on that row alone, neither on how many rows there are, up to
// `most_rows`, nor on the number of threads? This project's own products are so, on a processor with AVX2: those in
// fp32, and x W^T of at most 64 rows in bf16. Those of ATen are not.
bool rows_are_independent(at::ScalarType dtype, std::int64_t most_rows = std::numeric_limits<std::int64_t>::max());

at::Tensor linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi);

// dx = dy W
at::Tensor linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi);
// dx += scale * dy W
void linear_backward_input(const at::Tensor& dy_no, const at::Tensor& w_oi, double scale, at::Tensor& dx_ni);

// y += scale * x W^T
void linear_forward(const at::Tensor& x_ni, const at::Tensor& w_oi, double scale, at::Tensor& y_no);

// dw += scale * dy^T x. dw is fp32 for bf16 operands: micro-batches are summed in fp32.
void linear_backward_weight(const at::Tensor& dy_no, const at::Tensor& x_ni, double scale, at::Tensor& dw_oi);

// db += the sum of dy over rows, in fp32 (fp64 for fp64).
void linear_backward_bias(const at::Tensor& dy_no, at::Tensor& db_o);

}  // namespace steerlm
