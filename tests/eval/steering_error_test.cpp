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
  EXPECT_NEAR(found.error.upper_quartile - found.error.lower_quartile, steering_figures[1], 1e-12);
  EXPECT_NEAR(found.miscalibration.median, steering_figures[2], 1e-12);
  EXPECT_NEAR(found.miscalibration.upper_quartile - found.miscalibration.lower_quartile, steering_figures[3], 1e-12);
  EXPECT_NEAR(found.side_effect.median, steering_figures[4], 1e-12);
  EXPECT_NEAR(found.side_effect.upper_quartile - found.side_effect.lower_quartile, steering_figures[5], 1e-12);
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
  EXPECT_DOUBLE_EQ(nothing.side_effect.median, 0) << "what changed nothing has moved nothing aside";
  const std::vector<SteeringRequest> no_change{{source, source, {0.1, 0}}};
  EXPECT_DOUBLE_EQ(steering_errors(no_change).error.median, 0.1);
  EXPECT_TRUE(std::isnan(steering_errors(no_change).miscalibration.median));
  EXPECT_TRUE(std::isnan(steering_errors({}).error.median));
}

// SteerBench's get_orthogonality of these points: 0, 1 / 1.0001 and 0, whose median is 0. A goal that is the source has
// no direction: its request is in the error alone.
TEST(SteeringError, AnAnswerThatDidNotMoveIsInTheMedian) {
  const std::vector<double> source{0, 0}, goal{1, 0};
  const std::vector<SteeringRequest> requests{
      {source, goal, source}, {source, goal, {0, 1}}, {source, goal, source}, {source, source, {0, 0.5}}};
  const SteeringErrors found = steering_errors(requests);
  EXPECT_DOUBLE_EQ(found.side_effect.median, 0);
  EXPECT_DOUBLE_EQ(found.side_effect.upper_quartile, 0.5);
  EXPECT_EQ(found.side_effect.count, 3);
  EXPECT_EQ(found.miscalibration.count, 3);
  EXPECT_EQ(found.error.count, 4);
  EXPECT_DOUBLE_EQ(found.error.median, 1);
  EXPECT_EQ(steering_errors({}).error.count, 0);
}

TEST(SteeringError, QuartilesByHand) {
  std::vector<SteeringRequest> requests;
  for (const double reached : {0.9, 0.1, 0.4, 0.2, 0.8}) requests.push_back({{0, 0}, {1, 0}, {reached, 0}});
  const SteeringErrors found = steering_errors(requests);
  EXPECT_NEAR(found.error.lower_quartile, 0.2, 1e-15);
  EXPECT_NEAR(found.error.median, 0.6, 1e-15);
  EXPECT_NEAR(found.error.upper_quartile, 0.8, 1e-15);
}

TEST(SteeringError, ASingleAttributeHasNoSide) {
  const std::vector<SteeringRequest> one{{{0.2}, {0.8}, {0.5}}};
  EXPECT_NEAR(steering_errors(one).miscalibration.median, 0.5, 1e-15);
  EXPECT_TRUE(std::isnan(steering_errors(one).side_effect.median));
}

TEST(SteeringError, ASweepIsMeasuredFromTheAnswerAtTheDefaults) {
  // Two prompts; the dial of the second attribute at 0, its default, and at 1; the first dial at 0.5.
  const std::vector<SweepPoint> points{{0, {0.1, 0.2}, 1, 0, true},    {1, {0.3, 0.4}, 1, 0, true},
                                       {0, {0.2, 0.9}, 1, 1, false},   {1, {0.3, NAN}, 1, 1, false},
                                       {0, {0.6, 0.2}, 0, 0.5, false}, {1, {0.5, 0.5}, 2, 0.5, false},
                                       {2, {0.5, 0.5}, 0, 1, false}};
  const auto requests = steering_requests(points);
  ASSERT_EQ(requests.size(), points.size());
  EXPECT_FALSE(requests[0] || requests[1]) << "the sources themselves";
  ASSERT_TRUE(requests[2] && requests[4]);
  EXPECT_EQ(requests[2]->source, (std::vector<double>{0.1, 0.2}));
  EXPECT_EQ(requests[2]->goal, (std::vector<double>{0.1, 1}));
  EXPECT_EQ(requests[2]->reached, (std::vector<double>{0.2, 0.9}));
  EXPECT_EQ(requests[4]->source, requests[2]->source) << "of another dial's sweep, the same answer";
  EXPECT_EQ(requests[4]->goal, (std::vector<double>{0.5, 0.2}));
  EXPECT_FALSE(requests[3]) << "an attribute is missing";
  EXPECT_FALSE(requests[5]) << "nothing measures the dial's attribute";
  EXPECT_FALSE(requests[6]) << "no answer at the defaults";
}

}  // namespace
}  // namespace steerlm
