// Some rows of a matrix, and back. k row numbers in [0, n), distinct for scatter; on a GPU nothing checks that they
// are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>

namespace steerlm {

// y[i] = x[rows[i]]; rows_k int64 on the device of x.
at::Tensor gather_rows(const at::Tensor& x_nd, const at::Tensor& rows_k);

// (n, d): y[rows[i]] = x[i], 0 elsewhere.
at::Tensor scatter_rows(const at::Tensor& x_kd, const at::Tensor& rows_k, std::int64_t n);

// (b, d) in fp32 (fp64 for fp64): the mean of the rows begins[s] … ends[s] - 1 of x, at least one each. On a CPU a mean
// is one sum in the order of the rows, whatever else is computed with it and with any number of threads.
at::Tensor mean_rows(const at::Tensor& x_nd, std::span<const std::int64_t> begins_b,
                     std::span<const std::int64_t> ends_b);

}  // namespace steerlm
