#include "steerlm/kernels/linear_cross_entropy.h"

#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/index_select.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros_like.h>

#include <algorithm>

#include "kernels/dispatch.h"
#include "steerlm/kernels/linear.h"

namespace steerlm {
namespace {

constexpr std::int64_t logit_bytes = 64 << 20;

// Rows with a target, in chunks; calls chunk(row numbers, x of those rows, log-probabilities (c, v) in fp32 or fp64).
template <class Chunk>
void for_each_chunk(const at::Tensor& x_nd, const at::Tensor& w_vd, const std::vector<float>& weights, Chunk&& chunk) {
  require(x_nd.dim() == 2 && w_vd.dim() == 2 && x_nd.size(1) == w_vd.size(1) &&
              x_nd.size(0) == static_cast<std::int64_t>(weights.size()),
          "linear_cross_entropy: x is (n, d), w is (v, d)");
  std::vector<std::int64_t> rows;
  for (size_t i = 0; i < weights.size(); ++i) {
    if (weights[i] != 0) rows.push_back(static_cast<std::int64_t>(i));
  }
  const at::ScalarType dtype = accumulate_dtype(x_nd);
  const std::int64_t step =
      std::max<std::int64_t>(64, logit_bytes / (w_vd.size(0) * static_cast<std::int64_t>(sizeof(float))));
  for (size_t begin = 0; begin < rows.size(); begin += static_cast<size_t>(step)) {
    const size_t end = std::min(rows.size(), begin + static_cast<size_t>(step));
    const std::vector<std::int64_t> part(rows.begin() + static_cast<std::ptrdiff_t>(begin),
                                         rows.begin() + static_cast<std::ptrdiff_t>(end));
    const at::Tensor rows_c = at::tensor(part);
    const at::Tensor x_cd = at::index_select(x_nd, 0, rows_c);
    const at::Tensor log_p_cv = at::_log_softmax(at::mm(x_cd, w_vd.t()).to(dtype), 1, false);
    chunk(part, rows_c, x_cd, log_p_cv);
  }
}

}  // namespace

std::vector<double> linear_log_probabilities(const at::Tensor& x_nd, const at::Tensor& w_vd,
                                             const std::vector<std::int64_t>& targets,
                                             const std::vector<float>& weights) {
  std::vector<double> result(targets.size(), 0.0);
  for_each_chunk(
      x_nd, w_vd, weights, [&](const auto& rows, const at::Tensor&, const at::Tensor&, const at::Tensor& log_p_cv) {
        const std::int64_t v = log_p_cv.size(1);
        dispatch_dtype(log_p_cv, [&](auto zero) {
          const auto* log_p = log_p_cv.const_data_ptr<decltype(zero)>();
          for (size_t c = 0; c < rows.size(); ++c)
            result[rows[c]] = static_cast<double>(log_p[static_cast<std::int64_t>(c) * v + targets[rows[c]]]);
        });
      });
  return result;
}

LinearCrossEntropy linear_cross_entropy(const at::Tensor& x_nd, const at::Tensor& w_vd,
                                        const std::vector<std::int64_t>& targets, const std::vector<float>& weights,
                                        double scale, at::Tensor& dw_vd) {
  LinearCrossEntropy result{0.0, at::zeros_like(x_nd)};
  for_each_chunk(x_nd, w_vd, weights,
                 [&](const auto& rows, const at::Tensor& rows_c, const at::Tensor& x_cd, at::Tensor log_p_cv) {
                   const std::int64_t v = log_p_cv.size(1);
                   // dlogits = scale * weight * (softmax - onehot)
                   std::vector<double> factor(rows.size());
                   dispatch_dtype(log_p_cv, [&](auto zero) {
                     using A = decltype(zero);
                     const A* log_p = log_p_cv.template const_data_ptr<A>();
                     for (size_t c = 0; c < rows.size(); ++c) {
                       const double weight = static_cast<double>(weights[rows[c]]);
                       result.loss_sum -=
                           weight * static_cast<double>(log_p[static_cast<std::int64_t>(c) * v + targets[rows[c]]]);
                       factor[c] = weight * scale;
                     }
                   });
                   at::Tensor dlogits_cv = log_p_cv.exp_().mul_(at::tensor(factor, log_p_cv.options()).unsqueeze(1));
                   dispatch_dtype(dlogits_cv, [&](auto zero) {
                     using A = decltype(zero);
                     A* d = dlogits_cv.template mutable_data_ptr<A>();
                     for (size_t c = 0; c < rows.size(); ++c)
                       d[static_cast<std::int64_t>(c) * v + targets[rows[c]]] -= static_cast<A>(factor[c]);
                   });
                   dlogits_cv = dlogits_cv.to(x_cd.scalar_type());
                   result.dx_nd.index_copy_(0, rows_c, linear_backward_input(dlogits_cv, w_vd));
                   if (dw_vd.defined()) linear_backward_weight(dlogits_cv, x_cd, dw_vd);
                 });
  return result;
}

}  // namespace steerlm
