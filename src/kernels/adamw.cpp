#include "steerlm/kernels/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "steerlm/kernels/device.h"

namespace steerlm {

double clip_factor(double norm, double largest) { return largest > 0 ? std::min(1.0, largest / (norm + 1e-6)) : 1; }

void adamw_step(const at::Tensor& weights, const at::Tensor& gradients, const at::Tensor& first_moments,
                const at::Tensor& second_moments, const at::Tensor& copy, const AdamwSettings& s,
                const AdamwGuard& guard, std::int64_t t) {
  for (const at::Tensor& other : {gradients, first_moments, second_moments}) {
    require(weights.is_contiguous() && other.is_contiguous() && other.sizes() == weights.sizes() &&
                other.scalar_type() == weights.scalar_type(),
            "adamw: matching contiguous tensors");
  }
  require(!copy.defined() ||
              (copy.is_contiguous() && copy.sizes() == weights.sizes() && copy.scalar_type() == at::kBFloat16),
          "adamw: a contiguous copy in bf16");
  require(guard.loss.scalar_type() == at::kDouble && guard.norm.scalar_type() == at::kDouble &&
              guard.loss.numel() == 1 && guard.norm.numel() == 1,
          "adamw: loss and norm are one fp64 each");
  const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(t));
  const double root_correction2 = std::sqrt(1 - std::pow(s.beta2, static_cast<double>(t)));
  // One that fp32 rounds to 0 would make 0 / 0 of a weight without a gradient.
  const double eps = std::max(s.eps, static_cast<double>(std::numeric_limits<float>::min()));
  if (weights.is_cuda()) {
    require_one_device("adamw: one device", weights, gradients, first_moments, second_moments, copy, guard.loss,
                       guard.norm);
    check_launch(cuda().adamw(weights.mutable_data_ptr<float>(), gradients.const_data_ptr<float>(),
                              first_moments.mutable_data_ptr<float>(), second_moments.mutable_data_ptr<float>(),
                              copy.defined() ? copy.mutable_data_ptr() : nullptr, weights.numel(), s.learning_rate,
                              s.weight_decay, s.beta1, s.beta2, eps, correction1, root_correction2,
                              guard.loss.const_data_ptr<double>(), guard.norm.const_data_ptr<double>(),
                              guard.largest_norm, stream_of(weights.device())),
                 "adamw");
    return;
  }
  const double norm = *guard.norm.const_data_ptr<double>();
  if (!std::isfinite(norm) || !std::isfinite(*guard.loss.const_data_ptr<double>())) return;
  const double gradient_factor = clip_factor(norm, guard.largest_norm);
  dispatch_dtype(weights, [&](auto zero) {
    using T = decltype(zero);
    T* w = weights.mutable_data_ptr<T>();
    const T* g = gradients.const_data_ptr<T>();
    T* m = first_moments.mutable_data_ptr<T>();
    T* v = second_moments.mutable_data_ptr<T>();
    c10::BFloat16* const rounded = copy.defined() ? copy.mutable_data_ptr<c10::BFloat16>() : nullptr;
    const T decay = static_cast<T>(1 - s.learning_rate * s.weight_decay),
            step = static_cast<T>(s.learning_rate / correction1), factor = static_cast<T>(gradient_factor);
    const T b1 = static_cast<T>(1 - s.beta1), b2 = static_cast<T>(s.beta2), c2 = static_cast<T>(1 - s.beta2);
    const T least = static_cast<T>(eps), root = static_cast<T>(root_correction2);
    at::parallel_for(0, weights.numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t j = begin; j < end; ++j) {
        const T gradient = g[j] * factor;
        m[j] += b1 * (gradient - m[j]);
        v[j] = b2 * v[j] + c2 * gradient * gradient;
        w[j] = w[j] * decay - step * m[j] / (std::sqrt(v[j]) / root + least);
      }
      for (std::int64_t j = begin; j < end && rounded != nullptr; ++j) rounded[j] = static_cast<float>(w[j]);
    });
  });
}

at::Tensor global_norm(const at::Tensor& tensor) {
  constexpr std::int64_t piece = STEERLM_NORM_PIECE;
  require(tensor.is_contiguous(), "global_norm: a contiguous tensor");
  const std::int64_t pieces = (tensor.numel() + piece - 1) / piece;
  if (tensor.is_cuda()) {
    const at::TensorOptions wide = tensor.options().dtype(at::kDouble);
    if (pieces == 0) return at::zeros({1}, wide);
    const at::Tensor partial = at::empty({pieces}, wide);
    at::Tensor norm = at::empty({1}, wide);
    check_launch(cuda().global_norm(tensor.const_data_ptr<float>(), tensor.numel(), partial.mutable_data_ptr<double>(),
                                    norm.mutable_data_ptr<double>(), stream_of(tensor.device())),
                 "global_norm");
    return norm;
  }
  std::vector<double> sums(static_cast<size_t>(pieces));
  dispatch_dtype(tensor, [&](auto zero) {
    using T = decltype(zero);
    const T* x = tensor.const_data_ptr<T>();
    at::parallel_for(0, static_cast<std::int64_t>(sums.size()), 1, [&](std::int64_t first, std::int64_t last) {
      for (std::int64_t p = first; p < last; ++p) {
        const std::int64_t end = std::min(tensor.numel(), (p + 1) * piece);
        double lanes[8] = {};
        std::int64_t j = p * piece;
        for (; j + 8 <= end; j += 8) {
          for (int l = 0; l < 8; ++l) lanes[l] += static_cast<double>(x[j + l]) * static_cast<double>(x[j + l]);
        }
        for (; j < end; ++j) lanes[0] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
        for (double lane : lanes) sums[static_cast<size_t>(p)] += lane;
      }
    });
  });
  double total = 0;
  for (double sum : sums) total += sum;
  return to_device(std::vector<double>{std::sqrt(total)}, at::kCPU);
}

}  // namespace steerlm
