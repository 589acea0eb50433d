#include "steerlm/kernels/linear_cross_entropy.h"

#include <ATen/ops/_log_softmax.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/rows.h"

namespace steerlm {
namespace {

constexpr std::int64_t logit_bytes = 64 << 20;
constexpr std::int64_t logit_bytes_on_gpu = 1 << 30;

// Rows with a target, in chunks; calls chunk(first, x of rows first …, log-probabilities (c, v) in fp32 or fp64).
template <class Chunk>
void for_each_chunk(const at::Tensor& x_kd, const at::Tensor& w_vd, Chunk&& chunk) {
  const at::ScalarType dtype = accumulate_dtype(x_kd);
  const std::int64_t k = x_kd.size(0);
  const std::int64_t step =
      std::max<std::int64_t>(64, logit_bytes / (w_vd.size(0) * static_cast<std::int64_t>(sizeof(float))));
  for (std::int64_t first = 0; first < k; first += step) {
    const at::Tensor x_cd = x_kd.narrow(0, first, std::min(step, k - first));
    chunk(first, x_cd, at::_log_softmax(linear_forward(x_cd, w_vd).to(dtype), 1, false));
  }
}

void check(const at::Tensor& x_nd, const at::Tensor& w_vd) {
  require(x_nd.dim() == 2 && w_vd.dim() == 2 && x_nd.size(1) == w_vd.size(1),
          "linear_cross_entropy: x is (n, d), w is (v, d)");
}

// Rows of a chunk on a GPU: as many as the budget holds, at least 512 (fewer leave the products waiting for memory),
// the same number in all chunks, and whole tiles of the products, 128, where there is more than one.
std::int64_t chunk_rows(std::int64_t k, std::int64_t row_bytes) {
  const std::int64_t most = std::max<std::int64_t>(512, logit_bytes_on_gpu / row_bytes / 128 * 128);
  if (k <= most) return std::max<std::int64_t>(1, k);
  const std::int64_t chunks = (k + most - 1) / most, even = (k + chunks - 1) / chunks;
  return std::min(most, (even + 127) / 128 * 128);
}

// Calls chunk(first, x of rows first …, logits (c, v) in the dtype of x) with the logits in one buffer, which the next
// chunk overwrites. Its rows are padded to a multiple of 8 elements, so that those of every v begin at a multiple of 16
// bytes; ATen passes a padded row on to cuBLAS as its leading dimension.
template <class Chunk>
void for_each_chunk_on_gpu(const at::Tensor& x_kd, const at::Tensor& w_vd, Chunk&& chunk) {
  const std::int64_t k = x_kd.size(0), v = w_vd.size(0), stride = (v + 7) / 8 * 8;
  const std::int64_t step = chunk_rows(k, stride * static_cast<std::int64_t>(x_kd.element_size()));
  const at::Tensor buffer = at::empty({step, stride}, x_kd.options());
  for (std::int64_t first = 0; first < k; first += step) {
    const std::int64_t rows = std::min(step, k - first);
    const at::Tensor x_cd = x_kd.narrow(0, first, rows);
    at::Tensor logits_cv = buffer.narrow(0, 0, rows).narrow(1, 0, v);
    at::mm_out(logits_cv, x_cd, w_vd.t());
    chunk(first, x_cd, logits_cv);
  }
}

// Of the targets first …, a row of logits each; the gradient takes the place of the logits.
void cross_entropy(at::Tensor& logits_cv, const TargetRows& targets, std::int64_t first, double scale, bool gradient,
                   at::Tensor& log_p_k, double* loss_sum) {
  void* logits = logits_cv.mutable_data_ptr();
  check_launch(cuda().cross_entropy(cuda_dtype(logits_cv), logits, logits_cv.stride(0),
                                    targets.targets_k.const_data_ptr<std::int64_t>() + first,
                                    targets.weights_k.const_data_ptr<float>() + first, scale,
                                    gradient ? logits : nullptr, log_p_k.mutable_data_ptr<float>() + first, loss_sum,
                                    logits_cv.size(0), logits_cv.size(1), stream_of(logits_cv.device())),
               "cross_entropy");
}

void check_on_gpu(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets) {
  require_one_device("linear_cross_entropy: one device", x_nd, w_vd, targets.rows_k, targets.targets_k,
                     targets.weights_k);
  require(x_nd.is_contiguous() && w_vd.is_contiguous() && x_nd.scalar_type() == w_vd.scalar_type() &&
              targets.targets_k.is_contiguous() && targets.weights_k.is_contiguous() &&
              targets.targets_k.numel() == targets.rows_k.numel() &&
              targets.weights_k.numel() == targets.rows_k.numel(),
          "linear_cross_entropy: contiguous tensors, a target and a weight a row");
}

at::Tensor log_probabilities_on_gpu(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets) {
  check_on_gpu(x_nd, w_vd, targets);
  const at::Tensor x_kd = gather_rows(x_nd, targets.rows_k);
  at::Tensor log_p_k = at::empty({x_kd.size(0)}, x_kd.options().dtype(at::kFloat));
  for_each_chunk_on_gpu(x_kd, w_vd, [&](std::int64_t first, const at::Tensor&, at::Tensor& logits_cv) {
    cross_entropy(logits_cv, targets, first, 1, /*gradient=*/false, log_p_k, nullptr);
  });
  return log_p_k;
}

// Bytes moved besides the three products': the logits of a chunk once read and once written.
LinearCrossEntropy loss_on_gpu(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets, double scale,
                               at::Tensor& dw_vd) {
  check_on_gpu(x_nd, w_vd, targets);
  require_one_device("linear_cross_entropy: one device", x_nd, dw_vd);
  const at::Tensor x_kd = gather_rows(x_nd, targets.rows_k);
  at::Tensor dx_kd = at::empty_like(x_kd), loss_sum = at::zeros({1}, x_kd.options().dtype(at::kDouble));
  at::Tensor log_p_k = at::empty({x_kd.size(0)}, x_kd.options().dtype(at::kFloat));
  for_each_chunk_on_gpu(x_kd, w_vd, [&](std::int64_t first, const at::Tensor& x_cd, at::Tensor& logits_cv) {
    cross_entropy(logits_cv, targets, first, scale, /*gradient=*/true, log_p_k, loss_sum.mutable_data_ptr<double>());
    const at::Tensor& dlogits_cv = logits_cv;
    at::Tensor dx_cd = dx_kd.narrow(0, first, x_cd.size(0));
    at::mm_out(dx_cd, dlogits_cv, w_vd);
    if (dw_vd.defined()) linear_backward_weight(dlogits_cv, x_cd, 1, dw_vd);
  });
  return {loss_sum, scatter_rows(dx_kd, targets.rows_k, x_nd.size(0))};
}

}  // namespace

TargetRows target_rows(const std::vector<std::int64_t>& targets_n, const std::vector<float>& weights_n,
                       at::Device device) {
  require(targets_n.size() == weights_n.size(), "target_rows: a weight a row");
  std::vector<std::int64_t> rows, targets;
  std::vector<float> weights;
  for (size_t i = 0; i < weights_n.size(); ++i) {
    if (weights_n[i] == 0) continue;
    rows.push_back(static_cast<std::int64_t>(i));
    targets.push_back(targets_n[i]);
    weights.push_back(weights_n[i]);
  }
  return {to_device(rows, device), to_device(targets, device), to_device(weights, device)};
}

at::Tensor linear_log_probabilities(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets) {
  check(x_nd, w_vd);
  if (x_nd.is_cuda()) return log_probabilities_on_gpu(x_nd, w_vd, targets);
  const at::Tensor x_kd = gather_rows(x_nd, targets.rows_k);
  at::Tensor result_k = at::empty({x_kd.size(0)}, x_kd.options().dtype(accumulate_dtype(x_kd)));
  const std::int64_t* target = targets.targets_k.const_data_ptr<std::int64_t>();
  for_each_chunk(x_kd, w_vd, [&](std::int64_t first, const at::Tensor&, const at::Tensor& log_p_cv) {
    const std::int64_t v = log_p_cv.size(1);
    dispatch_dtype(log_p_cv, [&](auto zero) {
      using A = decltype(zero);
      const A* log_p = log_p_cv.const_data_ptr<A>();
      A* result = result_k.mutable_data_ptr<A>() + first;
      for (std::int64_t c = 0; c < log_p_cv.size(0); ++c) result[c] = log_p[c * v + target[first + c]];
    });
  });
  return result_k;
}

LinearCrossEntropy linear_cross_entropy(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets,
                                        double scale, at::Tensor& dw_vd) {
  check(x_nd, w_vd);
  if (x_nd.is_cuda()) return loss_on_gpu(x_nd, w_vd, targets, scale, dw_vd);
  const at::Tensor x_kd = gather_rows(x_nd, targets.rows_k);
  at::Tensor dx_kd = at::empty_like(x_kd);
  const std::int64_t* target = targets.targets_k.const_data_ptr<std::int64_t>();
  const float* weight = targets.weights_k.const_data_ptr<float>();
  double loss_sum = 0;
  for_each_chunk(x_kd, w_vd, [&](std::int64_t first, const at::Tensor& x_cd, at::Tensor log_p_cv) {
    const std::int64_t v = log_p_cv.size(1), rows = log_p_cv.size(0);
    // dlogits = scale * weight * (softmax - onehot)
    std::vector<double> factor(static_cast<size_t>(rows));
    dispatch_dtype(log_p_cv, [&](auto zero) {
      const auto* log_p = log_p_cv.template const_data_ptr<decltype(zero)>();
      for (std::int64_t c = 0; c < rows; ++c) {
        const double row_weight = static_cast<double>(weight[first + c]);
        loss_sum -= row_weight * static_cast<double>(log_p[c * v + target[first + c]]);
        factor[c] = row_weight * scale;
      }
    });
    at::Tensor dlogits_cv = log_p_cv.exp_().mul_(to_device(factor, at::kCPU).to(log_p_cv.scalar_type()).unsqueeze(1));
    dispatch_dtype(dlogits_cv, [&](auto zero) {
      using A = decltype(zero);
      A* d = dlogits_cv.template mutable_data_ptr<A>();
      for (std::int64_t c = 0; c < rows; ++c) d[c * v + target[first + c]] -= static_cast<A>(factor[c]);
    });
    dlogits_cv = dlogits_cv.to(x_cd.scalar_type());
    dx_kd.narrow(0, first, rows).copy_(linear_backward_input(dlogits_cv, w_vd));
    if (dw_vd.defined()) linear_backward_weight(dlogits_cv, x_cd, 1, dw_vd);
  });
  return {to_device(std::vector<double>{loss_sum}, at::kCPU), scatter_rows(dx_kd, targets.rows_k, x_nd.size(0))};
}

}  // namespace steerlm
