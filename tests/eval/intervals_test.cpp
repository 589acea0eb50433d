#include "steerlm/eval/intervals.h"

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "steerlm/core/rng.h"

namespace steerlm {
namespace {

TEST(Intervals, OfAMeanIsCloseToTheNormalOne) {
  std::vector<double> values;
  double sum = 0, squares = 0;
  for (std::uint64_t i = 0; i < 400; ++i) {
    values.push_back(3 + 2 * Rng(5, "intervals test", i).normal());
    sum += values.back();
  }
  for (double value : values) squares += (value - sum / 400) * (value - sum / 400);
  const double error = std::sqrt(squares / 400 / 400);
  const Interval interval = bootstrap_interval_of_mean(values, 1, 4000);
  EXPECT_NEAR(interval.low, sum / 400 - 1.96 * error, 0.15 * error);
  EXPECT_NEAR(interval.high, sum / 400 + 1.96 * error, 0.15 * error);
}

TEST(Intervals, TheSeedDecides) {
  const std::vector<double> values{1.03, 5.77, 2.411, 8.2, 3.1009, 9.5, 0.333, 4.04};
  EXPECT_EQ(bootstrap_interval_of_mean(values, 4).low, bootstrap_interval_of_mean(values, 4).low);
  EXPECT_NE(bootstrap_interval_of_mean(values, 4).low, bootstrap_interval_of_mean(values, 5).low);
}

TEST(Intervals, WhatDoesNotVaryHasNoWidth) {
  const std::vector<double> values{2, 2, 2};
  EXPECT_EQ(bootstrap_interval_of_mean(values, 1).low, 2);
  EXPECT_EQ(bootstrap_interval_of_mean(values, 1).high, 2);
}

TEST(Intervals, UndefinedDrawingsAreLeftOut) {
  EXPECT_TRUE(std::isnan(bootstrap_interval_of_mean({}, 1).low));
  const auto first_or_nan = [](std::span<const size_t> rows) { return rows[0] == 0 ? std::nan("") : 7.0; };
  EXPECT_EQ(bootstrap_interval(3, first_or_nan, 1).low, 7);
  EXPECT_EQ(bootstrap_interval(3, first_or_nan, 1).high, 7);
}

}  // namespace
}  // namespace steerlm
