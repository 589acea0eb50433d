#include "steerlm/kernels/swiglu.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>

#include <cmath>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "kernels/exp.h"

namespace steerlm {
namespace {

inline float exp_of(float x) { return exp_of<float, std::int32_t>(x); }
inline double exp_of(double x) { return std::exp(x); }

template <class A>
inline A sigmoid(A x) {
  return A(1) / (A(1) + exp_of(-x));
}

// The loops are compiled for three instruction sets; the operations and so the bits are the same in all.
#define STEERLM_VECTORIZED __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))

template <class T>
inline void forward_range(const T* gate, const T* up, T* y, std::int64_t count) {
  using A = Accumulate<T>;
  for (std::int64_t i = 0; i < count; ++i) y[i] = T(A(gate[i]) * sigmoid(A(gate[i])) * A(up[i]));
}
STEERLM_VECTORIZED void forward_loop(const float* gate, const float* up, float* __restrict y, std::int64_t count) {
  forward_range(gate, up, y, count);
}
STEERLM_VECTORIZED void forward_loop(const at::BFloat16* gate, const at::BFloat16* up, at::BFloat16* __restrict y,
                                     std::int64_t count) {
  forward_range(gate, up, y, count);
}
void forward_loop(const double* gate, const double* up, double* y, std::int64_t count) {
  forward_range(gate, up, y, count);
}

template <class T>
inline void backward_range(const T* dy, const T* gate, const T* up, T* __restrict dgate, T* __restrict dup,
                           std::int64_t count) {
  using A = Accumulate<T>;
  for (std::int64_t i = 0; i < count; ++i) {
    const A g = A(gate[i]), s = sigmoid(g), d = A(dy[i]);
    dgate[i] = T(d * A(up[i]) * s * (A(1) + g * (A(1) - s)));
    dup[i] = T(d * g * s);
  }
}
STEERLM_VECTORIZED void backward_loop(const float* dy, const float* gate, const float* up, float* dgate, float* dup,
                                      std::int64_t count) {
  backward_range(dy, gate, up, dgate, dup, count);
}
STEERLM_VECTORIZED void backward_loop(const at::BFloat16* dy, const at::BFloat16* gate, const at::BFloat16* up,
                                      at::BFloat16* dgate, at::BFloat16* dup, std::int64_t count) {
  backward_range(dy, gate, up, dgate, dup, count);
}
void backward_loop(const double* dy, const double* gate, const double* up, double* dgate, double* dup,
                   std::int64_t count) {
  backward_range(dy, gate, up, dgate, dup, count);
}

// Elements from row to row of gate and of up.
std::int64_t row_stride_of(const at::Tensor& gate_nf, const at::Tensor& up_nf) {
  require(gate_nf.dim() == 2 && gate_nf.sizes() == up_nf.sizes() && gate_nf.scalar_type() == up_nf.scalar_type(),
          "swiglu: gate and up are (n, f)");
  require(gate_nf.size(1) <= 1 || (gate_nf.stride(1) == 1 && up_nf.stride(1) == 1), "swiglu: contiguous rows");
  if (gate_nf.size(0) <= 1) return gate_nf.size(1);
  require(gate_nf.stride(0) == up_nf.stride(0) && gate_nf.stride(0) >= gate_nf.size(1), "swiglu: rows equally apart");
  return gate_nf.stride(0);
}

at::Tensor forward_on_gpu(const at::Tensor& gate_nf, const at::Tensor& up_nf) {
  require_one_device("swiglu: one device", gate_nf, up_nf);
  const std::int64_t stride = row_stride_of(gate_nf, up_nf);
  at::Tensor y_nf = at::empty(gate_nf.sizes(), gate_nf.options());
  check_launch(
      cuda().swiglu_forward(cuda_dtype(gate_nf), gate_nf.const_data_ptr(), up_nf.const_data_ptr(), stride,
                            y_nf.mutable_data_ptr(), gate_nf.size(0), gate_nf.size(1), stream_of(gate_nf.device())),
      "swiglu_forward");
  return y_nf;
}

SwigluGradients backward_on_gpu(const at::Tensor& dy_nf, const at::Tensor& gate_nf, const at::Tensor& up_nf) {
  require_one_device("swiglu: one device", gate_nf, dy_nf, up_nf);
  require(dy_nf.is_contiguous() && dy_nf.sizes() == gate_nf.sizes() && dy_nf.scalar_type() == gate_nf.scalar_type(),
          "swiglu: dy is (n, f)");
  const std::int64_t stride = row_stride_of(gate_nf, up_nf), n = gate_nf.size(0), f = gate_nf.size(1);
  const auto* gate = static_cast<const char*>(gate_nf.const_data_ptr());
  const bool halves = gate_nf.stride(0) == 2 * f && up_nf.const_data_ptr() == gate + f * gate_nf.element_size();
  SwigluGradients gradients;
  if (halves) {
    const at::Tensor both = at::empty({n, 2 * f}, gate_nf.options());
    gradients = {both.narrow(1, 0, f), both.narrow(1, f, f), at::empty({n, f}, gate_nf.options())};
  } else {
    gradients = {at::empty({n, f}, gate_nf.options()), at::empty({n, f}, gate_nf.options()),
                 at::empty({n, f}, gate_nf.options())};
  }
  check_launch(cuda().swiglu_backward(cuda_dtype(gate_nf), dy_nf.const_data_ptr(), gate_nf.const_data_ptr(),
                                      up_nf.const_data_ptr(), stride, gradients.dgate_nf.mutable_data_ptr(),
                                      gradients.dup_nf.mutable_data_ptr(), halves ? 2 * f : f,
                                      gradients.y_nf.mutable_data_ptr(), n, f, stream_of(gate_nf.device())),
               "swiglu_backward");
  return gradients;
}

}  // namespace

at::Tensor swiglu_forward(const at::Tensor& gate_nf, const at::Tensor& up_nf) {
  if (gate_nf.is_cuda()) return forward_on_gpu(gate_nf, up_nf);
  require(gate_nf.sizes() == up_nf.sizes() && gate_nf.is_contiguous() && up_nf.is_contiguous(),
          "swiglu: gate and up are (n, f)");
  at::Tensor y_nf = at::empty_like(gate_nf);
  dispatch_dtype(gate_nf, [&](auto zero) {
    using T = decltype(zero);
    const T *gate = gate_nf.const_data_ptr<T>(), *up = up_nf.const_data_ptr<T>();
    T* y = y_nf.mutable_data_ptr<T>();
    at::parallel_for(0, gate_nf.numel(), grain(1), [&](std::int64_t begin, std::int64_t end) {
      forward_loop(gate + begin, up + begin, y + begin, end - begin);
    });
  });
  return y_nf;
}

SwigluGradients swiglu_backward(const at::Tensor& dy_nf, const at::Tensor& gate_nf, const at::Tensor& up_nf) {
  if (gate_nf.is_cuda()) return backward_on_gpu(dy_nf, gate_nf, up_nf);
  require(dy_nf.sizes() == gate_nf.sizes() && dy_nf.is_contiguous() && gate_nf.is_contiguous() && up_nf.is_contiguous(),
          "swiglu: dy, gate and up are (n, f)");
  SwigluGradients gradients{at::empty_like(gate_nf), at::empty_like(gate_nf), swiglu_forward(gate_nf, up_nf)};
  dispatch_dtype(gate_nf, [&](auto zero) {
    using T = decltype(zero);
    const T *dy = dy_nf.const_data_ptr<T>(), *gate = gate_nf.const_data_ptr<T>(), *up = up_nf.const_data_ptr<T>();
    T *dgate = gradients.dgate_nf.mutable_data_ptr<T>(), *dup = gradients.dup_nf.mutable_data_ptr<T>();
    at::parallel_for(0, gate_nf.numel(), grain(1), [&](std::int64_t begin, std::int64_t end) {
      backward_loop(dy + begin, gate + begin, up + begin, dgate + begin, dup + begin, end - begin);
    });
  });
  return gradients;
}

}  // namespace steerlm
