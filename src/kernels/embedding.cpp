#include "steerlm/kernels/embedding.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/sort.h>

#include <tuple>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "steerlm/kernels/rows.h"

namespace steerlm {
namespace {

void backward_on_gpu(const at::Tensor& dy_nd, const at::Tensor& ids_n, const at::Tensor& dw_vd) {
  require_one_device("embedding: one device", dy_nd, ids_n, dw_vd);
  const std::int64_t n = dy_nd.size(0), d = dy_nd.size(1);
  if (n == 0) return;
  const auto [sorted_n, order_n] = at::sort(ids_n, /*stable=*/true, /*dim=*/0, /*descending=*/false);
  const at::Tensor workspace = at::empty({cuda().embedding_workspace(n, d)}, dy_nd.options().dtype(at::kByte));
  check_launch(
      cuda().embedding_backward(cuda_dtype(dy_nd), dy_nd.const_data_ptr(), sorted_n.const_data_ptr<std::int64_t>(),
                                order_n.const_data_ptr<std::int64_t>(), dw_vd.mutable_data_ptr<float>(),
                                workspace.mutable_data_ptr(), n, d, stream_of(dy_nd.device())),
      "embedding_backward");
}

}  // namespace

at::Tensor embedding_forward(const at::Tensor& ids_n, const at::Tensor& w_vd) { return gather_rows(w_vd, ids_n); }

void embedding_backward(const at::Tensor& dy_nd, const at::Tensor& ids_n, at::Tensor& dw_vd) {
  require(dy_nd.dim() == 2 && dy_nd.is_contiguous() && dw_vd.is_contiguous() && dy_nd.size(1) == dw_vd.size(1),
          "embedding: dy is (n, d), dw is (v, d)");
  require(ids_n.dim() == 1 && ids_n.is_contiguous() && ids_n.size(0) == dy_nd.size(0), "embedding: ids are (n)");
  if (dy_nd.is_cuda()) return backward_on_gpu(dy_nd, ids_n, dw_vd);
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
