#include "steerlm/kernels/finite.h"

#include <ATen/ops/tensor.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

namespace steerlm {
namespace {

TEST(AllFinite, FindsOneNumberAtAnyPlaceInEveryDtype) {
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16, at::kHalf, at::kDouble}) {
    for (const std::int64_t size : {1, 7, 1'000'003}) {
      at::Tensor tensor = at::zeros({size}, dtype);
      EXPECT_TRUE(all_finite(tensor));
      for (const std::int64_t place : {std::int64_t{0}, size / 2, size - 1}) {
        for (const double bad : {std::numeric_limits<double>::quiet_NaN(), HUGE_VAL, -HUGE_VAL}) {
          tensor[place] = bad;
          EXPECT_FALSE(all_finite(tensor)) << c10::toString(dtype) << " " << place << " of " << size;
          tensor[place] = 0;
        }
      }
    }
  }
}

TEST(AllFinite, LargestAndSmallestNumbersAre) {
  using Limits = std::numeric_limits<float>;
  EXPECT_TRUE(all_finite(at::tensor({Limits::max(), Limits::lowest(), Limits::min(), Limits::denorm_min(), -0.0f})));
  EXPECT_TRUE(all_finite(at::tensor({Limits::max() / 2}).to(at::kBFloat16)));
  EXPECT_TRUE(all_finite(at::tensor({65504.0f}).to(at::kHalf)));
  EXPECT_FALSE(all_finite(at::tensor({65536.0f}).to(at::kHalf)));
  EXPECT_TRUE(all_finite(at::zeros({0})));
}

TEST(AllFinite, OfAViewTakesWhatItShows) {
  at::Tensor tensor = at::zeros({4, 4});
  tensor[1][2] = NAN;
  EXPECT_TRUE(all_finite(tensor.select(1, 1)));
  EXPECT_FALSE(all_finite(tensor.select(1, 2)));
}

}  // namespace
}  // namespace steerlm
