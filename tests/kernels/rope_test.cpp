#include "steerlm/kernels/rope.h"

#include <ATen/ops/arange.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/outer.h>
#include <gtest/gtest.h>

#include <cmath>

#include "kernels/composition.h"

namespace steerlm {
namespace {

std::vector<float> frequencies(std::int64_t half) {
  std::vector<float> all;
  for (std::int64_t i = 0; i < half; ++i)
    all.push_back(static_cast<float>(std::pow(10000.0, -static_cast<double>(i) / static_cast<double>(half))));
  return all;
}

RopeAngles angles_of(std::int64_t first, std::int64_t n, std::int64_t half, double scale, at::ScalarType dtype) {
  const at::ScalarType kept = dtype == at::kDouble ? at::kDouble : at::kFloat;
  RopeAngles angles{at::empty({n, half}, kept), at::empty({n, half}, kept)};
  rope_fill(angles, 0, first, n, frequencies(half), scale);
  return angles;
}

TEST(Rope, EqualsTheCompositionForwardAndBackward) {
  for (const auto& [n, h, e] : {std::tuple{1, 1, 2}, {5, 3, 8}, {40, 2, 6}, {17, 4, 64}}) {
    const std::int64_t half = e / 2;
    // Both turn by the angles of the dtype; what they are is the next test.
    const auto composition = [&](const std::vector<at::Tensor>& in) {
      const RopeAngles angles = angles_of(11, n, half, 1.3, in[0].scalar_type());
      const at::Tensor cos = angles.cos_ne2.unsqueeze(1).to(in[0].scalar_type()),
                       sin = angles.sin_ne2.unsqueeze(1).to(in[0].scalar_type());
      const at::Tensor first = in[0].slice(2, 0, half), second = in[0].slice(2, half, 2 * half);
      return at::cat({first * cos - second * sin, second * cos + first * sin}, 2);
    };
    const auto kernel = [&](const std::vector<at::Tensor>& in, const at::Tensor& dout) {
      const RopeAngles angles = angles_of(11, n, half, 1.3, in[0].scalar_type());
      at::Tensor y = in[0].clone(), dx = dout.clone();
      rope_rotate(y, angles, /*inverse=*/false);
      rope_rotate(dx, angles, /*inverse=*/true);
      return KernelNumbers{y, {dx}};
    };
    expect_equals_composition(kernel, composition, {random_tensor({n, h, e}, "x")}, random_tensor({n, h, e}, "dy"),
                              std::to_string(n) + "x" + std::to_string(h) + "x" + std::to_string(e));
  }
}

// In fp32 position * frequency is rounded as Transformers rounds it, and is off by half a unit of the angle.
TEST(Rope, AnglesArePositionTimesFrequency) {
  constexpr std::int64_t half = 32, n = 100;
  for (const std::int64_t first : {0, 4000}) {
    std::vector<double> wide;
    for (const float frequency : frequencies(half)) wide.push_back(static_cast<double>(frequency));
    const at::Tensor frequency = at::empty({half}, at::kDouble);
    for (std::int64_t i = 0; i < half; ++i) frequency[i] = wide[static_cast<size_t>(i)];
    const at::Tensor angle = at::outer(at::arange(first, first + n, at::kDouble), frequency);
    const RopeAngles exact = angles_of(first, n, half, 1.3, at::kDouble),
                     rounded = angles_of(first, n, half, 1.3, at::kFloat);
    EXPECT_LE((exact.cos_ne2 - angle.cos() * 1.3).abs().max().item<double>(), 1e-15);
    EXPECT_LE((exact.sin_ne2 - angle.sin() * 1.3).abs().max().item<double>(), 1e-15);
    const at::Tensor allowed = 1.3 * (angle.abs() * std::pow(2.0, -24) + std::pow(2.0, -22));
    EXPECT_TRUE((rounded.cos_ne2 - exact.cos_ne2).abs().le(allowed).all().item<bool>());
    EXPECT_TRUE((rounded.sin_ne2 - exact.sin_ne2).abs().le(allowed).all().item<bool>());
  }
}

}  // namespace
}  // namespace steerlm
