#include "steerlm/kernels/adamw.h"

#include <ATen/Parallel.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/composition.h"
#include "steerlm/kernels/device.h"

namespace steerlm {
namespace {

const AdamwSettings settings{.learning_rate = 3e-2, .weight_decay = 0.1, .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8};

struct Moments {
  at::Tensor w, m, v;
};

AdamwGuard guard(double largest_norm, double norm) {
  return {to_device(std::vector<double>{1}, at::kCPU), to_device(std::vector<double>{norm}, at::kCPU), largest_norm};
}

// torch.optim.AdamW, not fused, from its documentation.
void compose_step(Moments& x, const at::Tensor& g, std::int64_t t) {
  const AdamwSettings& s = settings;
  x.w.mul_(1 - s.learning_rate * s.weight_decay);
  x.m.lerp_(g, 1 - s.beta1);
  x.v.mul_(s.beta2).addcmul_(g, g, 1 - s.beta2);
  const double step = s.learning_rate / (1 - std::pow(s.beta1, t)), root = std::sqrt(1 - std::pow(s.beta2, t));
  x.w.addcdiv_(x.m, (x.v.sqrt() / root).add_(s.eps), -step);
}

// Of a weight without a gradient the step is 0 / eps.
TEST(Adamw, AnEpsilonBeyondFp32MakesNoNan) {
  AdamwSettings tiny = settings;
  for (const double eps : {1e-45, 1e-46, 1e-300}) {
    tiny.eps = eps;
    at::Tensor w = at::ones({3}, at::kFloat), m = at::zeros({3}, at::kFloat), v = at::zeros({3}, at::kFloat);
    at::Tensor g = at::zeros({3}, at::kFloat), none;
    g[0].fill_(1e-30f);
    adamw_step(w, g, m, v, none, tiny, guard(0, 1), 1);
    const double kept = 1 - tiny.learning_rate * tiny.weight_decay;
    EXPECT_NEAR(w[1].item<double>(), kept, 1e-7) << eps;
    EXPECT_TRUE(std::isfinite(w[0].item<double>())) << eps;
  }
}

TEST(Adamw, TenStepsEqualTheComposition) {
  for (const std::int64_t size : {101, 1000, 40'001}) {
    const auto start = [&](at::ScalarType dtype) {
      return Moments{random_tensor({size}, "w").to(at::kFloat).to(dtype).clone(), at::zeros({size}, dtype),
                     at::zeros({size}, dtype)};
    };
    Moments exact = start(at::kDouble), composed = start(at::kFloat), ours = start(at::kFloat),
            ours64 = start(at::kDouble);
    const at::Tensor copy = at::zeros({size}, at::kBFloat16);
    for (std::int64_t t = 1; t <= 10; ++t) {
      // From 1e-6 to 1e2, a few of them zero.
      const at::Tensor size_of = random_tensor({size}, "size" + std::to_string(t)).mul(3).exp();
      const at::Tensor g = random_tensor({size}, "g" + std::to_string(t)).mul(size_of).clamp(-100, 100).to(at::kFloat);
      if (t % 3 == 0) g[0] = 0;
      const at::Tensor g64 = g.to(at::kDouble);
      compose_step(exact, g64, t);
      compose_step(composed, g, t);
      // Clipped by a power of two, which rounds nothing.
      adamw_step(ours.w, g.mul(4), ours.m, ours.v, copy, settings, guard(0.25, 1 - 1e-6), t);
      adamw_step(ours64.w, g64, ours64.m, ours64.v, {}, settings, guard(0, 1), t);
      EXPECT_TRUE(at::equal(copy, ours.w.to(at::kBFloat16))) << size << " elements, step " << t;
    }
    const std::string name = std::to_string(size);
    expect_as_accurate(ours.w, composed.w, exact.w, 2, name + " weights");
    expect_as_accurate(ours.m, composed.m, exact.m, 2, name + " first moments");
    expect_as_accurate(ours.v, composed.v, exact.v, 2, name + " second moments");
    expect_as_accurate(ours64.w, exact.w, exact.w, 1, name + " weights in fp64");
    expect_as_accurate(ours64.m, exact.m, exact.m, 1, name + " first moments in fp64");
    expect_as_accurate(ours64.v, exact.v, exact.v, 1, name + " second moments in fp64");
  }
}

TEST(Adamw, TakesNoStepWhereLossOrNormIsNotFinite) {
  for (const double bad : {std::nan(""), HUGE_VAL, -HUGE_VAL}) {
    for (const bool of_loss : {false, true}) {
      Moments x{at::ones({5}), at::zeros({5}), at::zeros({5})};
      const at::Tensor copy = at::zeros({5}, at::kBFloat16);
      AdamwGuard no = guard(1, of_loss ? 1 : bad);
      if (of_loss) no.loss.fill_(bad);
      adamw_step(x.w, at::ones({5}), x.m, x.v, copy, settings, no, 1);
      EXPECT_TRUE(at::equal(x.w, at::ones({5})) && at::equal(x.m, at::zeros({5})) && at::equal(x.v, at::zeros({5})) &&
                  at::equal(copy, at::zeros({5}, at::kBFloat16)));
    }
  }
}

TEST(GlobalNorm, IsThatOfTheSumInFp64WhateverTheThreads) {
  for (const std::int64_t size : {1, 37, 65536, 300'001}) {
    const at::Tensor tensor = random_tensor({size}, "a").to(at::kFloat);
    tensor[0] = 3e30f;
    const double wanted = std::sqrt(tensor.to(at::kDouble).square().sum().item<double>());
    const int threads = at::get_num_threads();
    const double norm = global_norm(tensor).item<double>();
    at::set_num_threads(1);
    EXPECT_EQ(global_norm(tensor).item<double>(), norm) << size;
    at::set_num_threads(threads);
    EXPECT_NEAR(norm, wanted, 1e-12 * wanted);
    for (const float bad : {NAN, INFINITY, -INFINITY}) {
      tensor[size - 1] = bad;
      EXPECT_FALSE(std::isfinite(global_norm(tensor).item<double>()));
    }
  }
  EXPECT_EQ(global_norm(at::zeros({0})).item<double>(), 0);
}

}  // namespace
}  // namespace steerlm
