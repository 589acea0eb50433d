#include "steerlm/kernels/rows.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/segment_reduce.h>
#include <ATen/ops/zeros.h>

#include "kernels/cuda_call.h"
#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

void check_on_gpu(const at::Tensor& x, const at::Tensor& rows_k) {
  require_one_device("rows: one device", x, rows_k);
  require(x.dim() == 2 && x.is_contiguous() && rows_k.dim() == 1 && rows_k.is_contiguous(),
          "rows: a matrix and a row number a row");
}

}  // namespace

at::Tensor gather_rows(const at::Tensor& x_nd, const at::Tensor& rows_k) {
  if (!x_nd.is_cuda()) return at::index_select(x_nd, 0, rows_k);
  check_on_gpu(x_nd, rows_k);
  const std::int64_t k = rows_k.size(0), d = x_nd.size(1);
  at::Tensor y_kd = at::empty({k, d}, x_nd.options());
  check_launch(cuda().gather_rows(cuda_dtype(x_nd), rows_k.const_data_ptr<std::int64_t>(), x_nd.const_data_ptr(),
                                  y_kd.mutable_data_ptr(), k, d, stream_of(x_nd.device())),
               "gather_rows");
  return y_kd;
}

at::Tensor scatter_rows(const at::Tensor& x_kd, const at::Tensor& rows_k, std::int64_t n) {
  at::Tensor y_nd = at::zeros({n, x_kd.size(1)}, x_kd.options());
  if (!x_kd.is_cuda()) return y_nd.index_copy_(0, rows_k, x_kd);
  check_on_gpu(x_kd, rows_k);
  require(x_kd.size(0) == rows_k.size(0), "rows: a row number a row");
  check_launch(cuda().scatter_rows(cuda_dtype(x_kd), rows_k.const_data_ptr<std::int64_t>(), x_kd.const_data_ptr(),
                                   y_nd.mutable_data_ptr(), x_kd.size(0), x_kd.size(1), stream_of(x_kd.device())),
               "scatter_rows");
  return y_nd;
}

at::Tensor mean_rows(const at::Tensor& x_nd, std::span<const std::int64_t> begins_b,
                     std::span<const std::int64_t> ends_b) {
  std::vector<std::int64_t> rows, lengths;
  for (size_t s = 0; s < begins_b.size(); ++s) {
    require(0 <= begins_b[s] && begins_b[s] < ends_b[s] && ends_b[s] <= x_nd.size(0), "mean_rows: some rows of x");
    for (std::int64_t row = begins_b[s]; row < ends_b[s]; ++row) rows.push_back(row);
    lengths.push_back(ends_b[s] - begins_b[s]);
  }
  const at::Tensor x_kd = gather_rows(x_nd, to_device(rows, x_nd.device()));
  const at::ScalarType dtype = x_nd.scalar_type() == at::kDouble ? at::kDouble : at::kFloat;
  return at::segment_reduce(x_kd.to(dtype), "mean", to_device(lengths, x_nd.device()));
}

}  // namespace steerlm
