#include "steerlm/kernels/rope.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"

namespace steerlm {

void rope_fill(RopeAngles& angles, std::int64_t begin, std::int64_t first, std::int64_t positions,
               std::span<const float> inverse_frequencies, double scale) {
  const std::int64_t half = static_cast<std::int64_t>(inverse_frequencies.size());
  require(angles.cos_ne2.size(1) == half && begin + positions <= angles.cos_ne2.size(0), "rope: angles are (n, e/2)");
  require(!angles.cos_ne2.is_cuda(), "rope_fill: on a CPU");
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

RopeAngles rope_angles_at(const at::Tensor& positions_n, const at::Tensor& frequencies, double scale) {
  require(positions_n.is_cuda() && positions_n.dim() == 1 && positions_n.is_contiguous() && frequencies.dim() == 1 &&
              frequencies.is_contiguous(),
          "rope_angles_at: positions (n) and frequencies (e/2) on a GPU");
  require_one_device("rope: one device", positions_n, frequencies);
  const std::int64_t n = positions_n.size(0), half = frequencies.size(0);
  RopeAngles angles{at::empty({n, half}, frequencies.options()), at::empty({n, half}, frequencies.options())};
  check_launch(cuda().rope_angles(positions_n.const_data_ptr<std::int32_t>(), frequencies.const_data_ptr<float>(),
                                  scale, angles.cos_ne2.mutable_data_ptr<float>(),
                                  angles.sin_ne2.mutable_data_ptr<float>(), n, half, stream_of(positions_n.device())),
               "rope_angles");
  return angles;
}

void rope_rotate_into(const at::Tensor& x_nhe, const RopeAngles& angles, bool inverse, at::Tensor& y_nd) {
  require(x_nhe.is_cuda() && x_nhe.is_contiguous() && x_nhe.dim() == 3 && y_nd.dim() == 2 && y_nd.stride(1) == 1 &&
              y_nd.size(0) == x_nhe.size(0) && y_nd.size(1) == x_nhe.size(1) * x_nhe.size(2) &&
              y_nd.scalar_type() == x_nhe.scalar_type() && x_nhe.size(2) == 2 * angles.cos_ne2.size(1) &&
              x_nhe.size(0) == angles.cos_ne2.size(0),
          "rope: x is (n, h, e) on a GPU, y (n, h*e), a row of angles a token");
  require_one_device("rope: one device", x_nhe, y_nd, angles.cos_ne2, angles.sin_ne2);
  check_launch(
      cuda().rope_rotate(cuda_dtype(x_nhe), x_nhe.const_data_ptr(), y_nd.size(1), y_nd.mutable_data_ptr(),
                         y_nd.stride(0), angles.cos_ne2.const_data_ptr<float>(), angles.sin_ne2.const_data_ptr<float>(),
                         x_nhe.size(0), x_nhe.size(1), angles.cos_ne2.size(1), inverse, stream_of(x_nhe.device())),
      "rope_rotate");
}

void rope_rotate(at::Tensor& x_nhe, const RopeAngles& angles, bool inverse) {
  require(x_nhe.dim() == 3 && x_nhe.size(2) == 2 * angles.cos_ne2.size(1) && x_nhe.size(0) == angles.cos_ne2.size(0) &&
              angles.cos_ne2.is_contiguous() && angles.sin_ne2.is_contiguous(),
          "rope: x is (n, h, e), a row of angles a token");
  const std::int64_t n = x_nhe.size(0), heads = x_nhe.size(1), half = angles.cos_ne2.size(1);
  const std::int64_t row_stride = n > 1 ? x_nhe.stride(0) : heads * 2 * half;
  require((half == 0 || x_nhe.stride(2) == 1) && (heads <= 1 || x_nhe.stride(1) == 2 * half) &&
              row_stride >= heads * 2 * half,
          "rope: the heads of a token are contiguous");
  if (x_nhe.is_cuda()) {
    require_one_device("rope: one device", x_nhe, angles.cos_ne2, angles.sin_ne2);
    check_launch(
        cuda().rope_rotate(cuda_dtype(x_nhe), x_nhe.const_data_ptr(), row_stride, x_nhe.mutable_data_ptr(), row_stride,
                           angles.cos_ne2.const_data_ptr<float>(), angles.sin_ne2.const_data_ptr<float>(), n, heads,
                           half, inverse, stream_of(x_nhe.device())),
        "rope_rotate");
    return;
  }
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
          T* first = x + t * row_stride + h * 2 * half;
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
