#include "steerlm/optim/schedule.h"

#include <gtest/gtest.h>

#include <cmath>

namespace steerlm {
namespace {

const OptimizerOptions peak{.learning_rate = 1e-3};

TEST(Schedule, WarmUpIsLinearAndReachesThePeak) {
  const ScheduleOptions schedule{.warmup_steps = 4};
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 1, 100), 0.25e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 4, 100), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 100, 100), 1e-3);
}

TEST(Schedule, LinearAndCosineEndAtTheMinimum) {
  ScheduleOptions schedule{.kind = ScheduleKind::linear, .warmup_steps = 10, .min_learning_rate = 1e-4};
  EXPECT_NEAR(learning_rate_at(peak, schedule, 60, 110), 1e-4 + 0.5 * 9e-4, 1e-12);
  EXPECT_NEAR(learning_rate_at(peak, schedule, 110, 110), 1e-4, 1e-12);
  schedule.kind = ScheduleKind::cosine;
  EXPECT_NEAR(learning_rate_at(peak, schedule, 35, 110), 1e-4 + 9e-4 * 0.5 * (1 + std::sqrt(0.5)), 1e-12);
  EXPECT_NEAR(learning_rate_at(peak, schedule, 110, 110), 1e-4, 1e-12);
}

TEST(Schedule, DecayStepsEndTheDecayEarly) {
  const ScheduleOptions schedule{.kind = ScheduleKind::linear, .decay_steps = 10};
  EXPECT_NEAR(learning_rate_at(peak, schedule, 5, 100), 0.5e-3, 1e-12);
  EXPECT_EQ(learning_rate_at(peak, schedule, 10, 100), 0);
  EXPECT_EQ(learning_rate_at(peak, schedule, 50, 100), 0);
}

TEST(Schedule, WsdStaysAndDecaysAtTheEnd) {
  const ScheduleOptions schedule{.kind = ScheduleKind::wsd, .warmup_steps = 5, .decay_steps = 20};
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 80, 100), 1e-3);
  EXPECT_NEAR(learning_rate_at(peak, schedule, 90, 100), 0.5e-3, 1e-12);
  EXPECT_EQ(learning_rate_at(peak, schedule, 100, 100), 0);
}

}  // namespace
}  // namespace steerlm
