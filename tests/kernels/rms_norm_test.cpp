#include "steerlm/kernels/rms_norm.h"

#include <ATen/ops/rsqrt.h>
#include <gtest/gtest.h>

#include "kernels/composition.h"

namespace steerlm {
namespace {

TEST(RmsNorm, EqualsTheCompositionForwardAndBackward) {
  for (const double eps : {1e-6, 1e-1}) {
    for (const auto& [n, d] : {std::pair{1, 3}, {4, 8}, {3, 7}, {5, 64}, {2, 1000}, {70, 33}}) {
      const auto composition = [eps](const std::vector<at::Tensor>& in) {
        return in[0] * at::rsqrt(in[0].pow(2).mean(-1, true) + eps) * in[1];
      };
      const auto kernel = [eps](const std::vector<at::Tensor>& in, const at::Tensor& dout) {
        const RmsNormOutput output = rms_norm_forward(in[0], in[1], eps);
        at::Tensor dw = zero_sum_of(in[1]);
        const at::Tensor dx = rms_norm_backward(dout, in[0], in[1], output.rstd_n, dw);
        return KernelNumbers{output.y_nd, {dx, dw}};
      };
      const std::string name = std::to_string(n) + "x" + std::to_string(d) + " eps " + std::to_string(eps);
      expect_equals_composition(kernel, composition, {random_tensor({n, d}, "x", 3), random_tensor({d}, "w").add(1)},
                                random_tensor({n, d}, "dy"), name);
    }
  }
}

TEST(RmsNorm, TheGradientOfTheWeightIsAddedAndMayBeLeftOut) {
  const at::Tensor x = random_tensor({4, 6}, "x").to(at::kFloat), w = random_tensor({6}, "w").to(at::kFloat),
                   dy = random_tensor({4, 6}, "dy").to(at::kFloat);
  const RmsNormOutput output = rms_norm_forward(x, w, 1e-6);
  at::Tensor once = zero_sum_of(w), twice = zero_sum_of(w), none;
  const at::Tensor dx = rms_norm_backward(dy, x, w, output.rstd_n, once);
  rms_norm_backward(dy, x, w, output.rstd_n, twice);
  rms_norm_backward(dy, x, w, output.rstd_n, twice);
  EXPECT_LE(distance(twice, once * 2), 1e-5);
  EXPECT_TRUE(rms_norm_backward(dy, x, w, output.rstd_n, none).equal(dx));
  EXPECT_FALSE(none.defined());
  EXPECT_TRUE(rms_norm_recompute(x, w, output.rstd_n).equal(output.y_nd));
}

}  // namespace
}  // namespace steerlm
