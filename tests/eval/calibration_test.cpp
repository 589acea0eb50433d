#include "steerlm/eval/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <stdexcept>

namespace steerlm {
namespace {

// numpy 2.4.6: mean, std(ddof=1), 1.96 * std / sqrt(5) of 0.5, 1.5, 2.4, 1.6, -3.
TEST(Moments, EqualNumpy) {
  Moments moments;
  for (const double value : {0.5, 1.5, 2.4, 1.6, -3.0}) moments.add(value);
  EXPECT_EQ(moments.count, 5);
  EXPECT_NEAR(moments.mean(), 0.6, 1e-15);
  EXPECT_NEAR(moments.standard_deviation(), 2.1224985276791126, 1e-14);
  EXPECT_NEAR(moments.half_width(), 1.860451988093216, 1e-14);
  Moments none;
  EXPECT_TRUE(std::isnan(none.mean()));
  none.add(3);
  EXPECT_TRUE(std::isnan(none.standard_deviation()));
  EXPECT_TRUE(std::isnan(none.half_width()));
}

TEST(Calibration, MeansOfTheScoresThatRoundAlike) {
  Calibration found;
  for (const auto& [score, label] : std::initializer_list<std::pair<double, double>>{
           {0.5, 1}, {1.5, 2}, {2.4, 3}, {1.6, 1}, {-3, 0}, {9, 4}, {-0.4, 2}}) {
    found.add(score, label);
  }
  ASSERT_EQ(found.bins().size(), 4u);
  EXPECT_EQ(found.count(), 7);
  const Calibration::Bin& zero = found.bins().at(0);
  EXPECT_EQ(zero.scores.count, 2) << "0.5 rounds to even, -0.4 to 0";
  EXPECT_NEAR(zero.scores.mean(), 0.05, 1e-15);
  EXPECT_DOUBLE_EQ(zero.labels.mean(), 1.5);
  EXPECT_FALSE(found.bins().contains(1));
  EXPECT_EQ(found.bins().at(2).scores.count, 3);
  EXPECT_NEAR(found.bins().at(2).scores.mean(), 5.5 / 3, 1e-15);
  EXPECT_DOUBLE_EQ(found.bins().at(2).labels.mean(), 2);
  EXPECT_EQ(found.bins().at(-3).labels.count, 1);
  EXPECT_EQ(found.bins().begin()->first, -3) << "in the order of the scores";
  EXPECT_NEAR(found.expected_error(), (2 * 1.45 + 3 * (2 - 5.5 / 3) + 3 + 5) / 7, 1e-14);
}

TEST(Calibration, AnOffsetIsItsError) {
  Calibration high, none;
  for (int i = 0; i < 100; ++i) high.add(i % 5 + 0.3, i % 5);
  EXPECT_NEAR(high.expected_error(), 0.3, 1e-12);
  EXPECT_TRUE(std::isnan(none.expected_error()));
  EXPECT_THROW(none.add(NAN, 1), std::logic_error);
  EXPECT_THROW(none.add(1, INFINITY), std::logic_error);
}

// Scores that say the mean of each bin are calibrated, however far they are from single labels.
TEST(Calibration, TheMeanLabelIsWhatCounts) {
  Calibration found;
  for (int i = 0; i < 10; ++i) found.add(2, i % 2 == 0 ? 0 : 4);
  EXPECT_EQ(found.expected_error(), 0);
}

}  // namespace
}  // namespace steerlm
