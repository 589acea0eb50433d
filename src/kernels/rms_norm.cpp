#include "steerlm/kernels/rms_norm.h"

#include <ATen/Parallel.h>
#include <ATen/ops/add.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cmath>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "kernels/sum_lanes.h"

namespace steerlm {
namespace {

void check(const at::Tensor& x_nd, const at::Tensor& w_d) {
  require(x_nd.dim() == 2 && w_d.dim() == 1 && x_nd.size(1) == w_d.size(0), "rms_norm: x is (n, d), w is (d)");
  require(x_nd.is_contiguous() && w_d.is_contiguous(), "rms_norm: contiguous tensors");
  require(x_nd.scalar_type() == w_d.scalar_type(), "rms_norm: x and w have one dtype");
}

// sum_nd undefined: no residual.
RmsNormOutput forward_on_gpu(const at::Tensor& x_nd, const at::Tensor& residual_nd, const at::Tensor& w_d,
                             const at::Tensor& sum_nd, double eps) {
  require_one_device("rms_norm: one device", x_nd, residual_nd, w_d);
  const bool adds = sum_nd.defined();
  RmsNormOutput output{at::empty_like(x_nd), at::empty({x_nd.size(0)}, x_nd.options().dtype(at::kFloat))};
  check_launch(cuda().rms_norm_forward(
                   cuda_dtype(x_nd), x_nd.const_data_ptr(), adds ? residual_nd.const_data_ptr() : nullptr,
                   w_d.const_data_ptr(), adds ? sum_nd.mutable_data_ptr() : nullptr, output.y_nd.mutable_data_ptr(),
                   output.rstd_n.mutable_data_ptr<float>(), x_nd.size(0), x_nd.size(1), eps, stream_of(x_nd.device())),
               "rms_norm_forward");
  return output;
}

at::Tensor backward_on_gpu(const at::Tensor& dy_nd, const at::Tensor& x_nd, const at::Tensor& w_d,
                           const at::Tensor& rstd_n, const at::Tensor& dw_d, const at::Tensor& dresidual_nd) {
  require_one_device("rms_norm: one device", x_nd, dy_nd, w_d, rstd_n, dw_d, dresidual_nd);
  require(!dw_d.defined() || (dw_d.is_contiguous() && dw_d.sizes() == w_d.sizes()), "rms_norm: dw is (d)");
  const std::int64_t d = x_nd.size(1);
  at::Tensor dx_nd = at::empty_like(x_nd), partial;
  if (dw_d.defined()) partial = at::empty({STEERLM_RMS_NORM_BLOCKS, d}, dw_d.options());
  check_launch(
      cuda().rms_norm_backward(
          cuda_dtype(x_nd), dy_nd.const_data_ptr(), x_nd.const_data_ptr(), w_d.const_data_ptr(),
          rstd_n.const_data_ptr<float>(), dresidual_nd.defined() ? dresidual_nd.const_data_ptr() : nullptr,
          dx_nd.mutable_data_ptr(), partial.defined() ? partial.mutable_data_ptr<float>() : nullptr,
          dw_d.defined() ? dw_d.mutable_data_ptr<float>() : nullptr, x_nd.size(0), d, stream_of(x_nd.device())),
      "rms_norm_backward");
  return dx_nd;
}

}  // namespace

RmsNormOutput rms_norm_forward(const at::Tensor& x_nd, const at::Tensor& w_d, double eps) {
  check(x_nd, w_d);
  if (x_nd.is_cuda()) return forward_on_gpu(x_nd, {}, w_d, {}, eps);
  const std::int64_t n = x_nd.size(0), d = x_nd.size(1);
  at::Tensor rstd_n = at::empty({n}, x_nd.options().dtype(accumulate_dtype(x_nd)));
  dispatch_dtype(x_nd, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulate<T>;
    const T* x = x_nd.const_data_ptr<T>();
    A* rstd = rstd_n.mutable_data_ptr<A>();
    at::parallel_for(0, n, grain(d), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* row = x + i * d;
        const A squares = sum_lanes<T>(d, [&](std::int64_t j) { return A(row[j]) * A(row[j]); });
        rstd[i] = A(1) / std::sqrt(squares / A(d) + A(eps));
      }
    });
  });
  return {rms_norm_recompute(x_nd, w_d, rstd_n), rstd_n};
}

AddRmsNormOutput add_rms_norm_forward(const at::Tensor& x_nd, const at::Tensor& residual_nd, const at::Tensor& w_d,
                                      double eps) {
  check(x_nd, w_d);
  require(residual_nd.sizes() == x_nd.sizes() && residual_nd.scalar_type() == x_nd.scalar_type(),
          "rms_norm: the residual is like x");
  if (x_nd.is_cuda()) {
    require(residual_nd.is_contiguous(), "rms_norm: contiguous tensors");
    const at::Tensor sum = at::empty_like(x_nd);
    auto [y, rstd] = forward_on_gpu(x_nd, residual_nd, w_d, sum, eps);
    return {sum, y, rstd};
  }
  const at::Tensor sum_nd = at::add(x_nd, residual_nd);
  auto [y_nd, rstd_n] = rms_norm_forward(sum_nd, w_d, eps);
  return {sum_nd, y_nd, rstd_n};
}

at::Tensor rms_norm_recompute(const at::Tensor& x_nd, const at::Tensor& w_d, const at::Tensor& rstd_n) {
  check(x_nd, w_d);
  const std::int64_t n = x_nd.size(0), d = x_nd.size(1);
  at::Tensor y_nd = at::empty_like(x_nd);
  if (x_nd.is_cuda()) {
    require_one_device("rms_norm: one device", x_nd, w_d, rstd_n);
    check_launch(cuda().rms_norm_recompute(cuda_dtype(x_nd), x_nd.const_data_ptr(), w_d.const_data_ptr(),
                                           rstd_n.const_data_ptr<float>(), y_nd.mutable_data_ptr(), n, d,
                                           stream_of(x_nd.device())),
                 "rms_norm_recompute");
    return y_nd;
  }
  dispatch_dtype(x_nd, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulate<T>;
    const T* x = x_nd.const_data_ptr<T>();
    const T* w = w_d.const_data_ptr<T>();
    const A* rstd = rstd_n.const_data_ptr<A>();
    T* y = y_nd.mutable_data_ptr<T>();
    at::parallel_for(0, n, grain(d), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        for (std::int64_t j = 0; j < d; ++j) y[i * d + j] = T(A(x[i * d + j]) * rstd[i] * A(w[j]));
      }
    });
  });
  return y_nd;
}

at::Tensor rms_norm_backward(const at::Tensor& dy_nd, const at::Tensor& x_nd, const at::Tensor& w_d,
                             const at::Tensor& rstd_n, at::Tensor& dw_d, const at::Tensor& dresidual_nd) {
  check(x_nd, w_d);
  require(dy_nd.is_contiguous() && dy_nd.sizes() == x_nd.sizes(), "rms_norm: dy has the shape of x");
  require(dy_nd.scalar_type() == x_nd.scalar_type() && rstd_n.is_contiguous() && rstd_n.numel() == x_nd.size(0),
          "rms_norm: dy is like x, rstd is (n)");
  require(!dresidual_nd.defined() || (dresidual_nd.is_contiguous() && dresidual_nd.sizes() == x_nd.sizes() &&
                                      dresidual_nd.scalar_type() == x_nd.scalar_type()),
          "rms_norm: dresidual is like x");
  if (x_nd.is_cuda()) return backward_on_gpu(dy_nd, x_nd, w_d, rstd_n, dw_d, dresidual_nd);
  const std::int64_t n = x_nd.size(0), d = x_nd.size(1);
  at::Tensor dx_nd = at::empty_like(x_nd);
  dispatch_dtype(x_nd, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulate<T>;
    const T* dy = dy_nd.const_data_ptr<T>();
    const T* x = x_nd.const_data_ptr<T>();
    const T* w = w_d.const_data_ptr<T>();
    const A* rstd = rstd_n.const_data_ptr<A>();
    T* dx = dx_nd.mutable_data_ptr<T>();
    at::parallel_for(0, n, grain(d), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = begin; i < end; ++i) {
        const T* dy_row = dy + i * d;
        const T* x_row = x + i * d;
        const A dot = sum_lanes<T>(d, [&](std::int64_t j) { return A(dy_row[j]) * A(w[j]) * A(x_row[j]); });
        const A mean = dot * rstd[i] / A(d);
        for (std::int64_t j = 0; j < d; ++j) {
          dx[i * d + j] = T(rstd[i] * (A(dy_row[j]) * A(w[j]) - A(x_row[j]) * rstd[i] * mean));
        }
      }
    });
    if (!dw_d.defined()) return;
    A* dw = dw_d.mutable_data_ptr<A>();
    // Columns are dealt out, rows are summed in order: the same bits for every number of threads.
    at::parallel_for(0, d, grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = begin; j < end; ++j) dw[j] += A(dy[i * d + j]) * A(x[i * d + j]) * rstd[i];
      }
    });
  });
  if (dresidual_nd.defined()) dx_nd.add_(dresidual_nd);
  return dx_nd;
}

}  // namespace steerlm
