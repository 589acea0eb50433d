#include "steerlm/kernels/rope.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>

#include <cmath>

#include "kernels/dispatch.h"

namespace steerlm {

RopeTable make_rope_table(std::int64_t positions, std::int64_t head_dim, double theta, at::ScalarType dtype) {
  const at::ScalarType table_dtype = dtype == at::kDouble ? at::kDouble : at::kFloat;
  const std::int64_t half = head_dim / 2;
  RopeTable table{at::empty({positions, half}, table_dtype), at::empty({positions, half}, table_dtype)};
  dispatch_dtype(table.cos_pe2, [&](auto zero) {
    using T = decltype(zero);
    T* cos = table.cos_pe2.mutable_data_ptr<T>();
    T* sin = table.sin_pe2.mutable_data_ptr<T>();
    for (std::int64_t i = 0; i < half; ++i) {
      const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
      for (std::int64_t p = 0; p < positions; ++p) {
        const double angle = static_cast<double>(p) * frequency;
        cos[p * half + i] = static_cast<T>(std::cos(angle));
        sin[p * half + i] = static_cast<T>(std::sin(angle));
      }
    }
  });
  return table;
}

void rope_rotate(at::Tensor& x_nhe, const at::Tensor& positions_n, const RopeTable& table, bool inverse) {
  require(x_nhe.dim() == 3 && x_nhe.is_contiguous() && x_nhe.size(2) == 2 * table.cos_pe2.size(1), "rope: x is (n, h, e)");
  const std::int64_t n = x_nhe.size(0), heads = x_nhe.size(1), half = table.cos_pe2.size(1);
  const std::int64_t* position = positions_n.const_data_ptr<std::int64_t>();
  dispatch_dtype(x_nhe, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulate<T>;
    const A* cos_table = table.cos_pe2.const_data_ptr<A>();
    const A* sin_table = table.sin_pe2.const_data_ptr<A>();
    T* x = x_nhe.mutable_data_ptr<T>();
    at::parallel_for(0, n, grain(heads * half * 2), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t t = begin; t < end; ++t) {
        const A* cos = cos_table + position[t] * half;
        const A* sin = sin_table + position[t] * half;
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
