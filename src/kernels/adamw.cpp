#include "steerlm/kernels/adamw.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "kernels/dispatch.h"

namespace steerlm {

void adamw_step(const std::vector<at::Tensor>& weights, const std::vector<at::Tensor>& gradients,
                const std::vector<at::Tensor>& first_moments, const std::vector<at::Tensor>& second_moments,
                const AdamwSettings& s, std::int64_t t) {
  const double correction1 = 1 - std::pow(s.beta1, static_cast<double>(t));
  const double root_correction2 = std::sqrt(1 - std::pow(s.beta2, static_cast<double>(t)));
  for (size_t i = 0; i < weights.size(); ++i) {
    require(weights[i].is_contiguous() && gradients[i].is_contiguous() && weights[i].numel() == gradients[i].numel(),
            "adamw: matching contiguous tensors");
    dispatch_dtype(weights[i], [&](auto zero) {
      using T = decltype(zero);
      T* w = weights[i].mutable_data_ptr<T>();
      const T* g = gradients[i].const_data_ptr<T>();
      T* m = first_moments[i].mutable_data_ptr<T>();
      T* v = second_moments[i].mutable_data_ptr<T>();
      const T decay = static_cast<T>(1 - s.learning_rate * s.weight_decay),
              step = static_cast<T>(s.learning_rate / correction1);
      const T b1 = static_cast<T>(1 - s.beta1), b2 = static_cast<T>(s.beta2), c2 = static_cast<T>(1 - s.beta2);
      const T eps = static_cast<T>(s.eps), root = static_cast<T>(root_correction2);
      at::parallel_for(0, weights[i].numel(), 16384, [&](std::int64_t begin, std::int64_t end) {
        for (std::int64_t j = begin; j < end; ++j) {
          m[j] += b1 * (g[j] - m[j]);
          v[j] = b2 * v[j] + c2 * g[j] * g[j];
          w[j] = w[j] * decay - step * m[j] / (std::sqrt(v[j]) / root + eps);
        }
      });
    });
  }
}

double global_norm(const std::vector<at::Tensor>& tensors) {
  double total = 0;
  for (const at::Tensor& tensor : tensors) {
    dispatch_dtype(tensor, [&](auto zero) {
      using T = decltype(zero);
      const T* x = tensor.const_data_ptr<T>();
      const std::int64_t count = tensor.numel();
      double lanes[8] = {};
      std::int64_t j = 0;
      for (; j + 8 <= count; j += 8) {
        for (int l = 0; l < 8; ++l) lanes[l] += static_cast<double>(x[j + l]) * static_cast<double>(x[j + l]);
      }
      for (; j < count; ++j) lanes[0] += static_cast<double>(x[j]) * static_cast<double>(x[j]);
      for (double lane : lanes) total += lane;
    });
  }
  return std::sqrt(total);
}

void scale_all(const std::vector<at::Tensor>& tensors, double factor) {
  for (const at::Tensor& tensor : tensors) tensor.mul_(factor);
}

}  // namespace steerlm
