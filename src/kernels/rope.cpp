#include "steerlm/kernels/rope.h"

#include <ATen/Parallel.h>

#include <cmath>

#include "kernels/dispatch.h"

namespace steerlm {

void rope_fill(RopeAngles& angles, std::int64_t begin, std::int64_t first, std::int64_t positions,
               std::span<const float> inverse_frequencies, double scale) {
  const std::int64_t half = static_cast<std::int64_t>(inverse_frequencies.size());
  require(angles.cos_ne2.size(1) == half && begin + positions <= angles.cos_ne2.size(0), "rope: angles are (n, e/2)");
  dispatch_dtype(angles.cos_ne2, [&](auto zero) {
    using T = decltype(zero);
    T* cos = angles.cos_ne2.mutable_data_ptr<T>() + begin * half;
    T* sin = angles.sin_ne2.mutable_data_ptr<T>() + begin * half;
    at::parallel_for(0, positions, grain(half * 16), [&](std::int64_t from, std::int64_t to) {
      for (std::int64_t p = from; p < to; ++p) {
        for (std::int64_t i = 0; i < half; ++i) {
          const T angle =
              T(static_cast<double>(first + p)) * static_cast<T>(inverse_frequencies[static_cast<size_t>(i)]);
          cos[p * half + i] = std::cos(angle) * static_cast<T>(scale);
          sin[p * half + i] = std::sin(angle) * static_cast<T>(scale);
        }
      }
    });
  });
}

void rope_rotate(at::Tensor& x_nhe, const RopeAngles& angles, bool inverse) {
  require(x_nhe.dim() == 3 && x_nhe.is_contiguous() && x_nhe.size(2) == 2 * angles.cos_ne2.size(1) &&
              x_nhe.size(0) == angles.cos_ne2.size(0),
          "rope: x is (n, h, e), a row of angles a token");
  const std::int64_t n = x_nhe.size(0), heads = x_nhe.size(1), half = angles.cos_ne2.size(1);
  dispatch_dtype(x_nhe, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulate<T>;
    const A* cos_rows = angles.cos_ne2.const_data_ptr<A>();
    const A* sin_rows = angles.sin_ne2.const_data_ptr<A>();
    T* x = x_nhe.mutable_data_ptr<T>();
    at::parallel_for(0, n, grain(heads * half * 2), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const A* cos = cos_rows + t * half;
        const A* sin = sin_rows + t * half;
        for (std::int64_t h = 0; h < heads; ++h) {
          T* first = x + (t * heads + h) * 2 * half;
          T* second = first + half;
          for (std::int64_t i = 0; i < half; ++i) {
            const A a = A(first[i]), b = A(second[i]);
            const A s = inverse ? -sin[i] : sin[i];
            first[i] = T(a * cos[i] - b * s);
            second[i] = T(b * cos[i] + a * s);
          }
        }
      }
    });
  });
}

}  // namespace steerlm
