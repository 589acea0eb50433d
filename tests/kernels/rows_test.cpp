#include "steerlm/kernels/rows.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <stdexcept>

#include "kernels/composition.h"

namespace steerlm {
namespace {

using Rows = std::vector<std::int64_t>;

// Parts with gaps between them, a part of one row, and a row in two parts.
TEST(MeanRows, AreTheMeansInFp64) {
  const Rows begins{1, 4, 7, 7}, ends{4, 5, 200, 9};
  for (const at::ScalarType dtype : {at::kFloat, at::kDouble, at::kBFloat16}) {
    const at::Tensor x_nd = random_tensor({200, 13}, "x").to(dtype);
    const at::Tensor mean_bd = mean_rows(x_nd, begins, ends);
    EXPECT_EQ(mean_bd.scalar_type(), dtype == at::kDouble ? at::kDouble : at::kFloat);
    ASSERT_EQ(mean_bd.sizes(), (std::vector<std::int64_t>{4, 13}));
    for (size_t s = 0; s < begins.size(); ++s) {
      const at::Tensor wanted_d = x_nd.slice(0, begins[s], ends[s]).to(at::kDouble).mean(0);
      const double worst =
          (mean_bd[static_cast<std::int64_t>(s)].to(at::kDouble) - wanted_d).abs().max().item<double>();
      EXPECT_LE(worst, dtype == at::kDouble ? 1e-14 : 1e-6) << s;
    }
  }
}

TEST(MeanRows, TheBitsDependOnNeitherNeighboursNorThreads) {
  const at::Tensor x_nd = random_tensor({3000, 100}, "x").to(at::kFloat);
  const int threads = at::get_num_threads();
  const at::Tensor together_bd = mean_rows(x_nd, Rows{0, 1000, 1500}, Rows{1000, 1500, 3000});
  at::set_num_threads(1);
  EXPECT_TRUE(mean_rows(x_nd, Rows{0, 1000, 1500}, Rows{1000, 1500, 3000}).equal(together_bd));
  at::set_num_threads(2);
  EXPECT_TRUE(mean_rows(x_nd.slice(0, 900, 1600).contiguous(), Rows{100}, Rows{600})[0].equal(together_bd[1]));
  at::set_num_threads(threads);
}

TEST(MeanRows, NoRowAndARowThatIsNotThereAreMistakes) {
  const at::Tensor x_nd = random_tensor({4, 2}, "x").to(at::kFloat);
  EXPECT_THROW(mean_rows(x_nd, Rows{2}, Rows{2}), std::logic_error);
  EXPECT_THROW(mean_rows(x_nd, Rows{2}, Rows{5}), std::logic_error);
  EXPECT_THROW(mean_rows(x_nd, Rows{-1}, Rows{2}), std::logic_error);
}

}  // namespace
}  // namespace steerlm
