#include "steerlm/eval/steering_error.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/judgement_numbers.h"

namespace steerlm {
namespace {

TEST(SteeringError, EqualsNumpy) {
  std::vector<SteeringRequest> requests;
  for (const auto& [source, goal, reached] : steering_points) requests.push_back({source, goal, reached});
  const SteeringErrors found = steering_errors(requests);
  EXPECT_NEAR(found.error.median, steering_figures[0], 1e-12);
  EXPECT_NEAR(found.error.spread, steering_figures[1], 1e-12);
  EXPECT_NEAR(found.miscalibration.median, steering_figures[2], 1e-12);
  EXPECT_NEAR(found.miscalibration.spread, steering_figures[3], 1e-12);
  EXPECT_NEAR(found.side_effect.median, steering_figures[4], 1e-12);
  EXPECT_NEAR(found.side_effect.spread, steering_figures[5], 1e-12);
}

TEST(SteeringError, TellsAShortStepFromAStepAside) {
  // Half of the way; the whole way and as far aside; nothing at all.
  const std::vector<double> source{0, 0}, goal{0.8, 0};
  const auto of = [&](std::vector<double> reached) {
    const std::vector<SteeringRequest> one{{source, goal, std::move(reached)}};
    return steering_errors(one);
  };
  const SteeringErrors half = of({0.4, 0}), aside = of({0.8, 0.8}), nothing = of({0, 0});
  EXPECT_DOUBLE_EQ(half.miscalibration.median, 0.5);
  EXPECT_DOUBLE_EQ(half.side_effect.median, 0);
  EXPECT_DOUBLE_EQ(aside.miscalibration.median, 0);
  EXPECT_NEAR(aside.side_effect.median, std::sqrt(0.5), 1e-15);
  EXPECT_DOUBLE_EQ(nothing.miscalibration.median, 1);
  EXPECT_TRUE(std::isnan(nothing.side_effect.median)) << "what changed nothing has no direction";
  const std::vector<SteeringRequest> no_change{{source, source, {0.1, 0}}};
  EXPECT_DOUBLE_EQ(steering_errors(no_change).error.median, 0.1);
  EXPECT_TRUE(std::isnan(steering_errors(no_change).miscalibration.median));
  EXPECT_TRUE(std::isnan(steering_errors({}).error.median));
}

}  // namespace
}  // namespace steerlm
