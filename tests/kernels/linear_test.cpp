#include "steerlm/kernels/linear.h"

#include <gtest/gtest.h>

#include "kernels/composition.h"

namespace steerlm {
namespace {

TEST(Linear, EqualsTheCompositionForwardAndBackward) {
  for (const auto& [n, i, o] : {std::tuple{2, 3, 4}, {3, 5, 7}, {40, 64, 33}}) {
    const auto composition = [](const std::vector<at::Tensor>& in) { return in[0].matmul(in[1].t()) + in[2]; };
    const auto kernel = [](const std::vector<at::Tensor>& in, const at::Tensor& dout) {
      at::Tensor dw = zero_sum_of(in[1]), db = zero_sum_of(in[2]);
      linear_backward_weight(dout, in[0], 1, dw);
      linear_backward_bias(dout, db);
      return KernelNumbers{linear_forward(in[0], in[1]).add_(in[2]), {linear_backward_input(dout, in[1]), dw, db}};
    };
    expect_equals_composition(
        kernel, composition, {random_tensor({n, i}, "x"), random_tensor({o, i}, "w", 0.3), random_tensor({o}, "b")},
        random_tensor({n, o}, "dy"), std::to_string(n) + "x" + std::to_string(i) + "x" + std::to_string(o));
  }
}

// y += s x W^T, dx += s dy W, dW += s dy^T x, in every dtype.
TEST(Linear, AScaledProductIsAdded) {
  for (const at::ScalarType dtype : {at::kDouble, at::kFloat, at::kBFloat16}) {
    const double tolerance = dtype == at::kDouble ? 1e-12 : dtype == at::kFloat ? 1e-5 : 0.1;
    const at::Tensor x = random_tensor({40, 24}, "x").to(dtype), w = random_tensor({16, 24}, "w").to(dtype);
    const at::Tensor dy = random_tensor({40, 16}, "dy").to(dtype);
    at::Tensor y = at::empty({40, 16}, dtype).fill_(2), dx = at::empty({40, 24}, dtype).fill_(2);
    at::Tensor dw = zero_sum_of(w);
    linear_forward(x, w, -0.3, y);
    linear_backward_input(dy, w, -0.3, dx);
    linear_backward_weight(dy, x, -0.3, dw);
    const at::Tensor x64 = x.to(at::kDouble), w64 = w.to(at::kDouble), dy64 = dy.to(at::kDouble);
    const auto expect_near = [&](const at::Tensor& ours, const at::Tensor& exact, const char* name) {
      EXPECT_LE(distance(ours, exact), tolerance * exact.norm().item<double>() / 10) << name << " " << toString(dtype);
    };
    expect_near(y, 2 - 0.3 * x64.matmul(w64.t()), "y");
    expect_near(dx, 2 - 0.3 * dy64.matmul(w64), "dx");
    expect_near(dw, -0.3 * dy64.t().matmul(x64), "dw");
  }
}

TEST(Linear, GradientsOfWeightAndBiasAreAdded) {
  const at::Tensor x = random_tensor({6, 4}, "x").to(at::kFloat), dy = random_tensor({6, 3}, "dy").to(at::kFloat);
  at::Tensor dw = at::empty({3, 4}, at::kFloat).fill_(2), db = at::empty({3}, at::kFloat).fill_(2);
  linear_backward_weight(dy, x, 1, dw);
  linear_backward_bias(dy, db);
  EXPECT_LE(distance(dw, dy.t().matmul(x) + 2), 1e-5);
  EXPECT_LE(distance(db, dy.sum(0) + 2), 1e-5);
}

}  // namespace
}  // namespace steerlm
