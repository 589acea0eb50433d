// The kernel's own exponential: accurate, and the same for an element wherever it stands.
#include "steerlm/kernels/swiglu.h"

#include <gtest/gtest.h>
#include <torch/torch.h>

#include <cmath>

namespace steerlm {
namespace {

TEST(Swiglu, IsAsAccurateAsFp32Allows) {
  const at::Tensor gate = torch::linspace(-100, 100, 200001), up = torch::full_like(gate, 1.5);
  const at::Tensor gate64 = gate.to(torch::kDouble);
  const at::Tensor expected = gate64 * torch::sigmoid(gate64) * 1.5;
  const at::Tensor error = (swiglu_forward(gate, up).to(torch::kDouble) - expected).abs() / (expected.abs() + 1e-30);
  EXPECT_LE(error.index({gate64 > -80}).max().item<double>(), 1e-6);
  EXPECT_LE((swiglu_forward(gate, up).to(torch::kDouble) - expected).abs().index({gate64 <= -80}).max().item<double>(),
            1e-32);
}

TEST(Swiglu, GradientsEqualAutogradInFp64) {
  torch::AutoGradMode enabled(true);
  const at::Tensor gate = (torch::randn({31, 17}, torch::kDouble) * 3).requires_grad_(true),
                   up = torch::randn({31, 17}, torch::kDouble).requires_grad_(true);
  const at::Tensor dy = torch::randn({31, 17}, torch::kDouble);
  (gate * torch::sigmoid(gate) * up * dy).sum().backward();
  const SwigluGradients ours = swiglu_backward(dy, gate.detach(), up.detach());
  EXPECT_LE((ours.dgate_nf - gate.grad()).abs().max().item<double>(), 1e-13);
  EXPECT_LE((ours.dup_nf - up.grad()).abs().max().item<double>(), 1e-13);
  const SwigluGradients fp32 =
      swiglu_backward(dy.to(torch::kFloat), gate.detach().to(torch::kFloat), up.detach().to(torch::kFloat));
  EXPECT_LE((fp32.dgate_nf - gate.grad()).abs().max().item<double>(), 1e-5);
}

TEST(Swiglu, AnElementsBitsDoNotDependOnItsPlace) {
  const at::Tensor gate = torch::randn({5000}) * 4, up = torch::randn({5000}), dy = torch::randn({5000});
  const at::Tensor whole = swiglu_forward(gate, up);
  const SwigluGradients gradients = swiglu_backward(dy, gate, up);
  for (const std::int64_t begin : {1, 7, 1023}) {
    for (const std::int64_t length : {1, 3, 29, 64, 1777}) {
      const auto part = [&](const at::Tensor& x) { return x.slice(0, begin, begin + length).clone(); };
      EXPECT_TRUE(torch::equal(swiglu_forward(part(gate), part(up)), part(whole))) << begin << " " << length;
      const SwigluGradients cut = swiglu_backward(part(dy), part(gate), part(up));
      EXPECT_TRUE(torch::equal(cut.dgate_nf, part(gradients.dgate_nf))) << begin << " " << length;
      EXPECT_TRUE(torch::equal(cut.dup_nf, part(gradients.dup_nf))) << begin << " " << length;
    }
  }
}

TEST(Swiglu, WhatIsNotFiniteStaysSo) {
  const at::Tensor gate = torch::tensor({NAN, INFINITY, 1.0f}), up = torch::tensor({1.0f, 1.0f, NAN});
  EXPECT_FALSE(torch::isfinite(swiglu_forward(gate, up)).any().item<bool>());
}

}  // namespace
}  // namespace steerlm
