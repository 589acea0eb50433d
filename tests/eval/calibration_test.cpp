#include "steerlm/eval/calibration.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace steerlm {
namespace {

constexpr float unknown = std::numeric_limits<float>::quiet_NaN();

TEST(Calibration, MeansOfTheScoresThatRoundAlike) {
  const std::vector<double> scores{0.5, 1.5, 2.4, 1.6, -3, 9, 3.1};
  const std::vector<float> labels{1, 2, 3, 1, 0, 4, unknown};
  const Calibration found = calibration(0, 4, scores, labels);
  ASSERT_EQ(found.bins.size(), 5u);
  EXPECT_EQ(found.bins[0].count, 2) << "0.5 rounds to even, -3 is clamped";
  EXPECT_DOUBLE_EQ(found.bins[0].score, -1.25);
  EXPECT_DOUBLE_EQ(found.bins[0].label, 0.5);
  EXPECT_EQ(found.bins[1].count, 0);
  EXPECT_TRUE(std::isnan(found.bins[1].score));
  EXPECT_EQ(found.bins[2].count, 3);
  EXPECT_NEAR(found.bins[2].score, 5.5 / 3, 1e-15);
  EXPECT_DOUBLE_EQ(found.bins[2].label, 2);
  EXPECT_EQ(found.bins[3].count, 0) << "its one label is not known";
  EXPECT_EQ(found.bins[4].count, 1);
  EXPECT_NEAR(found.expected_error, (2 * 1.75 + 3 * (2 - 5.5 / 3) + 1 * 5) / 6, 1e-12);
}

TEST(Calibration, AnOffsetIsItsError) {
  std::vector<double> scores;
  std::vector<float> labels;
  for (int i = 0; i < 100; ++i) {
    labels.push_back(static_cast<float>(i % 5));
    scores.push_back(i % 5 + 0.3);
  }
  EXPECT_NEAR(calibration(0, 4, scores, labels).expected_error, 0.3, 1e-12);
  EXPECT_TRUE(std::isnan(calibration(0, 4, {}, {}).expected_error));
}

}  // namespace
}  // namespace steerlm
