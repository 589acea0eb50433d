#include "steerlm/kernels/linear_cross_entropy.h"

#include <ATen/ops/equal.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <future>
#include <thread>

#include "kernels/composition.h"

namespace steerlm {
namespace {

struct Rows {
  std::vector<std::int64_t> targets;
  std::vector<float> weights;  // of the loss; 0, 1 and what lies between
};

Rows rows_of(std::int64_t n, std::int64_t v) {
  Rows rows;
  Rng rng(3, "rows", 0);
  for (std::int64_t i = 0; i < n; ++i) {
    rows.targets.push_back(static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(v))));
    rows.weights.push_back(static_cast<float>(rng.below(4)) / 3);
  }
  return rows;
}

TargetRows chosen(const Rows& rows) { return target_rows(rows.targets, rows.weights, at::kCPU); }

TEST(LinearCrossEntropy, EqualsTheCompositionForwardAndBackward) {
  constexpr double scale = 0.125;
  for (const auto& [n, d, v] : {std::tuple{5, 4, 3}, {9, 16, 37}, {64, 8, 300}}) {
    const Rows rows = rows_of(n, v);
    const auto composition = [&](const std::vector<at::Tensor>& in) {
      const at::Tensor logits = in[0].matmul(in[1].t());
      const at::Tensor wide = logits.scalar_type() == at::kDouble ? logits : logits.to(at::kFloat);
      const at::Tensor log_p = at::log_softmax(wide, -1).gather(1, at::tensor(rows.targets).unsqueeze(1)).squeeze(1);
      return -(log_p * at::tensor(rows.weights).to(log_p.scalar_type())).sum();
    };
    const auto kernel = [&](const std::vector<at::Tensor>& in, const at::Tensor&) {
      at::Tensor dw = zero_sum_of(in[1]);
      const LinearCrossEntropy loss = linear_cross_entropy(in[0], in[1], chosen(rows), scale, dw);
      const at::Tensor sum = loss.loss_sum.to(dw.scalar_type()).squeeze(0);
      return KernelNumbers{sum, {loss.dx_nd, dw}};
    };
    expect_equals_composition(kernel, composition, {random_tensor({n, d}, "x"), random_tensor({v, d}, "w", 0.7)},
                              at::tensor(scale).squeeze(0), std::to_string(n) + "x" + std::to_string(v));
  }
}

// 262,144 columns leave 64 rows to a chunk of logits: 100 rows are two of them, 50 are one.
TEST(LinearCrossEntropy, ChunksOfRowsGiveTheSameNumbers) {
  constexpr std::int64_t n = 100, d = 2, v = 262'144;
  Rows rows = rows_of(n, v);
  std::ranges::fill(rows.weights, 0.5f);
  const at::Tensor x = random_tensor({n, d}, "x").to(at::kFloat), w = random_tensor({v, d}, "w").to(at::kFloat);
  at::Tensor dw = zero_sum_of(w), dw_halves = zero_sum_of(w);
  const LinearCrossEntropy whole = linear_cross_entropy(x, w, chosen(rows), 1, dw);
  double sum = 0;
  for (const std::int64_t begin : {0, 50}) {
    const auto half = [&](const auto& all) { return std::vector(all.begin() + begin, all.begin() + begin + 50); };
    const LinearCrossEntropy part = linear_cross_entropy(
        x.slice(0, begin, begin + 50), w, chosen({half(rows.targets), half(rows.weights)}), 1, dw_halves);
    EXPECT_LE(distance(part.dx_nd, whole.dx_nd.slice(0, begin, begin + 50)), 1e-5);
    sum += part.loss_sum.item<double>();
  }
  EXPECT_NEAR(whole.loss_sum.item<double>(), sum, 1e-9 * sum);
  EXPECT_LE(distance(dw, dw_halves), 1e-6 * dw.norm().item<double>());
}

// 10,000 rows of the weight are ten parts; 40,000 columns leave 512 of 600 rows to a chunk.
TEST(LinearCrossEntropy, InTurnTheWeightGradientHasTheSameBits) {
  for (const std::int64_t v : {10'000, 40'000}) {
    constexpr std::int64_t n = 600, d = 8;
    Rows rows = rows_of(n, v);
    std::ranges::fill(rows.weights, 0.5f);
    const at::Tensor x = random_tensor({n, d}, "x").to(at::kFloat), w = random_tensor({v, d}, "w").to(at::kFloat);
    at::Tensor wanted = zero_sum_of(w), dw = zero_sum_of(w);
    GradientOrder order(2), one_by_one(2);
    linear_cross_entropy(x, w, chosen(rows), 1, wanted, {&one_by_one, 0});
    linear_cross_entropy(x, w, chosen(rows), 1, wanted, {&one_by_one, 1});
    std::thread second([&] { linear_cross_entropy(x, w, chosen(rows), 1, dw, {&order, 1}); });
    linear_cross_entropy(x, w, chosen(rows), 1, dw, {&order, 0});
    second.join();
    EXPECT_TRUE(at::equal(dw, wanted)) << v;
    const auto last = static_cast<std::int32_t>((v - 1) / gradient_rows);
    GradientOrder passed(2);
    linear_cross_entropy(x, w, chosen(rows), 1, dw, {&passed, 0});
    auto next = std::async(std::launch::async, [&] { passed.wait(1, last); });
    EXPECT_EQ(next.wait_for(std::chrono::minutes(1)), std::future_status::ready) << "it has not passed its last stage";
    passed.abandon();
  }
}

// One weight of the output layer makes one logit of every row what it is.
TEST(LinearCrossEntropy, LogitsThatAreNotFiniteShowAndSmallOnesCountForNothing) {
  constexpr std::int64_t n = 3, d = 4, v = 40, target = 5;
  const TargetRows rows = target_rows(std::vector<std::int64_t>(n, target), std::vector<float>(n, 1), at::kCPU);
  const at::Tensor x = at::ones({n, d}, at::kFloat);
  const auto loss_with = [&](std::int64_t column, double logit, at::Tensor& dw) {
    at::Tensor w = random_tensor({v, d}, "w").to(at::kFloat);
    w.select(0, column).fill_(0).select(0, 0).fill_(logit);
    dw = at::zeros({v, d}, at::kFloat);
    return linear_cross_entropy(x, w, rows, 1, dw).loss_sum.item<double>();
  };
  at::Tensor dw;
  for (const double bad : {NAN, INFINITY}) {
    for (const std::int64_t column : {target, target + 20})
      EXPECT_FALSE(std::isfinite(loss_with(column, bad, dw))) << bad;
  }
  EXPECT_FALSE(std::isfinite(loss_with(target, -INFINITY, dw)));
  EXPECT_TRUE(std::isfinite(loss_with(target + 20, -INFINITY, dw)));
  EXPECT_EQ(dw[target + 20][0].item<float>(), 0) << "it has no weight";
  // log sum exp is 200 to the last digit where one logit is 200.
  const double far = loss_with(target + 20, 200, dw) / n, near = loss_with(target, 200, dw) / n;
  const double of_target = random_tensor({v, d}, "w").select(0, target).to(at::kFloat).sum().item<double>();
  EXPECT_NEAR(far, 200 - of_target, 1e-5);
  EXPECT_NEAR(near, 0, 1e-12);
}

TEST(LinearCrossEntropy, LogProbabilitiesAreThoseOfTheLoss) {
  const at::Tensor x = random_tensor({9, 16}, "x").to(at::kFloat), w = random_tensor({37, 16}, "w").to(at::kFloat);
  const TargetRows rows = chosen(rows_of(9, 37));
  const std::int64_t k = rows.rows_k.size(0);
  ASSERT_LT(k, 9);
  const at::Tensor log_p_k = linear_log_probabilities(x, w, rows);
  ASSERT_EQ(log_p_k.numel(), k);
  at::Tensor none;
  const LinearCrossEntropy loss = linear_cross_entropy(x, w, rows, 1, none);
  double sum = 0;
  const at::Tensor exact = at::log_softmax(x.to(at::kDouble).matmul(w.to(at::kDouble).t()), -1);
  for (std::int64_t i = 0; i < k; ++i) {
    const double log_p = log_p_k[i].item<double>();
    const auto row = rows.rows_k[i].item<std::int64_t>(), target = rows.targets_k[i].item<std::int64_t>();
    EXPECT_NEAR(log_p, exact[row][target].item<double>(), 2e-6);
    sum -= rows.weights_k[i].item<double>() * log_p;
  }
  EXPECT_NEAR(loss.loss_sum.item<double>(), sum, 1e-7 * sum) << "of numbers that were rounded to fp32";
  EXPECT_FALSE(none.defined());
}

}  // namespace
}  // namespace steerlm
