// Some rows of a matrix, and back. k row numbers in [0, n), distinct for scatter; on a GPU nothing checks that they
// are.
#pragma once

#include <ATen/core/Tensor.h>

namespace steerlm {

// y[i] = x[rows[i]]; rows_k int64 on the device of x.
at::Tensor gather_rows(const at::Tensor& x_nd, const at::Tensor& rows_k);

// (n, d): y[rows[i]] = x[i], 0 elsewhere.
at::Tensor scatter_rows(const at::Tensor& x_kd, const at::Tensor& rows_k, std::int64_t n);

}  // namespace steerlm
