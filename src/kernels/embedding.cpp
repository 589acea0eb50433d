#include "steerlm/kernels/embedding.h"

#include <ATen/Parallel.h>
#include <ATen/ops/index_select.h>

#include "kernels/dispatch.h"

namespace steerlm {

at::Tensor embedding_forward(const at::Tensor& ids_n, const at::Tensor& w_vd) {
  return at::index_select(w_vd, 0, ids_n);
}

void embedding_backward(const at::Tensor& dy_nd, const at::Tensor& ids_n, at::Tensor& dw_vd) {
  require(dy_nd.dim() == 2 && dy_nd.is_contiguous() && dw_vd.is_contiguous() && dy_nd.size(1) == dw_vd.size(1),
          "embedding: dy is (n, d), dw is (v, d)");
  const std::int64_t n = dy_nd.size(0), d = dy_nd.size(1);
  const std::int64_t* ids = ids_n.const_data_ptr<std::int64_t>();
  dispatch_dtype(dy_nd, [&](auto zero) {
    using T = decltype(zero);
    using A = Accumulate<T>;
    const T* dy = dy_nd.const_data_ptr<T>();
    A* dw = dw_vd.mutable_data_ptr<A>();
    at::parallel_for(0, d, grain(n), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t i = 0; i < n; ++i) {
        for (std::int64_t j = begin; j < end; ++j) dw[ids[i] * d + j] += A(dy[i * d + j]);
      }
    });
  });
}

}  // namespace steerlm
