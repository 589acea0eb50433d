#include "steerlm/kernels/linear_cross_entropy.h"

#include <ATen/Parallel.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <type_traits>
#include <vector>

#include "kernels/cuda_call.h"
#include "kernels/dispatch.h"
#include "kernels/loops.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/rows.h"

namespace steerlm {
namespace {

constexpr std::int64_t logit_bytes = 64 << 20;
constexpr std::int64_t logit_bytes_on_gpu = 1 << 30;
constexpr std::int64_t few_rows = 64;  // of a chunk at least, also where they take more

// Rows with a target, in chunks; calls chunk(first, x of rows first …, their logits (c, v) in fp32 or fp64).
template <class Chunk>
void for_each_chunk(const at::Tensor& x_kd, const at::Tensor& w_vd, std::int64_t least_rows, Chunk&& chunk) {
  const at::ScalarType dtype = accumulate_dtype(x_kd);
  const std::int64_t k = x_kd.size(0);
  const std::int64_t step =
      std::max(least_rows, logit_bytes / (w_vd.size(0) * static_cast<std::int64_t>(sizeof(float))));
  for (std::int64_t first = 0; first < k; first += step) {
    const at::Tensor x_cd = x_kd.narrow(0, first, std::min(step, k - first));
    at::Tensor logits_cv = linear_forward(x_cd, w_vd).to(dtype);
    chunk(first, x_cd, logits_cv);
  }
}

// log softmax(logits)[target] of a row of v logits. With `factor` the gradient of -factor times that takes their place:
// factor (softmax - onehot).
template <class A>
double cross_entropy_row(A* logits, std::int64_t v, std::int64_t target, const double* factor) {
  const auto largest = static_cast<double>(*std::max_element(logits, logits + v));
  const double of_target = static_cast<double>(logits[target]) - largest;
  double sum = 0;
  for (std::int64_t i = 0; i < v; ++i) sum += std::exp(static_cast<double>(logits[i]) - largest);
  if (factor != nullptr) {
    for (std::int64_t i = 0; i < v; ++i)
      logits[i] = static_cast<A>(*factor / sum * std::exp(static_cast<double>(logits[i]) - largest));
    logits[target] -= static_cast<A>(*factor);
  }
  return of_target - std::log(sum);
}

double cross_entropy_row_by_loops(float* logits, std::int64_t v, std::int64_t target, const double* factor) {
  const RowSums sums = loops()->row_sums(logits, v, 1);
  const double of_target = static_cast<double>(logits[target]) - static_cast<double>(sums.largest);
  if (factor != nullptr) {
    loops()->exponentials(logits, v, sums.largest, static_cast<float>(*factor / sums.sum));
    logits[target] -= static_cast<float>(*factor);
  }
  return of_target - std::log(sums.sum);
}

// A target and a number of log_p a row, and a factor where the gradient is wanted.
void cross_entropy_rows(at::Tensor& logits_cv, const std::int64_t* targets, const double* factors, double* log_p) {
  const std::int64_t v = logits_cv.size(1);
  dispatch_dtype(logits_cv, [&](auto zero) {
    using A = decltype(zero);
    A* logits = logits_cv.mutable_data_ptr<A>();
    at::parallel_for(0, logits_cv.size(0), grain(v), [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t c = begin; c < end; ++c) {
        const double* factor = factors == nullptr ? nullptr : factors + c;
        if constexpr (std::is_same_v<A, float>) {
          if (loops() != nullptr) {
            log_p[c] = cross_entropy_row_by_loops(logits + c * v, v, targets[c], factor);
            continue;
          }
        }
        log_p[c] = cross_entropy_row(logits + c * v, v, targets[c], factor);
      }
    });
  });
}

// dw += dlogits^T x, some rows of dw after the other where other micro-batches add to it too. A stage is passed after
// the micro-batch's last chunk (`last`).
void add_weight_gradient(const at::Tensor& dlogits_cv, const at::Tensor& x_cd, const GradientTurn& turn, bool last,
                         at::Tensor& dw_vd) {
  if (turn.alone()) return linear_backward_weight(dlogits_cv, x_cd, 1, dw_vd);
  const std::int64_t v = dw_vd.size(0);
  for (std::int64_t first = 0; first < v; first += gradient_rows) {
    const std::int64_t rows = std::min(gradient_rows, v - first);
    const auto stage = static_cast<std::int32_t>(first / gradient_rows);
    at::Tensor part_vd = dw_vd.narrow(0, first, rows);
    turn.wait(stage);
    linear_backward_weight(dlogits_cv.narrow(1, first, rows), x_cd, 1, part_vd);
    if (last) turn.pass(stage);
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
  const at::Tensor log_p_k = at::empty({x_kd.size(0)}, x_kd.options().dtype(at::kDouble));
  for_each_chunk(x_kd, w_vd, few_rows, [&](std::int64_t first, const at::Tensor&, at::Tensor& logits_cv) {
    cross_entropy_rows(logits_cv, targets.targets_k.const_data_ptr<std::int64_t>() + first, nullptr,
                       log_p_k.mutable_data_ptr<double>() + first);
  });
  return log_p_k.to(accumulate_dtype(x_kd));
}

LinearCrossEntropy linear_cross_entropy(const at::Tensor& x_nd, const at::Tensor& w_vd, const TargetRows& targets,
                                        double scale, at::Tensor& dw_vd, const GradientTurn& turn) {
  check(x_nd, w_vd);
  if (x_nd.is_cuda()) return loss_on_gpu(x_nd, w_vd, targets, scale, dw_vd);
  const at::Tensor x_kd = gather_rows(x_nd, targets.rows_k);
  at::Tensor dx_kd = at::empty_like(x_kd);
  const std::int64_t k = x_kd.size(0);
  const std::int64_t* target = targets.targets_k.const_data_ptr<std::int64_t>();
  const float* weight = targets.weights_k.const_data_ptr<float>();
  std::vector<double> factor(static_cast<size_t>(k)), log_p(factor.size());
  for (std::int64_t i = 0; i < k; ++i) factor[i] = static_cast<double>(weight[i]) * scale;
  const std::int64_t least_rows = turn.alone() ? few_rows : rows_in_turn;
  for_each_chunk(x_kd, w_vd, least_rows, [&](std::int64_t first, const at::Tensor& x_cd, at::Tensor& logits_cv) {
    const std::int64_t rows = x_cd.size(0);
    cross_entropy_rows(logits_cv, target + first, factor.data() + first, log_p.data() + first);
    const at::Tensor dlogits_cv = logits_cv.to(x_cd.scalar_type());
    dx_kd.narrow(0, first, rows).copy_(linear_backward_input(dlogits_cv, w_vd));
    if (dw_vd.defined()) add_weight_gradient(dlogits_cv, x_cd, turn, first + rows == k, dw_vd);
  });
  double loss_sum = 0;
  for (std::int64_t i = 0; i < k; ++i) loss_sum -= static_cast<double>(weight[i]) * log_p[i];
  return {to_device(std::vector<double>{loss_sum}, at::kCPU), scatter_rows(dx_kd, targets.rows_k, x_nd.size(0))};
}

}  // namespace steerlm
