#include "steerlm/optim/schedule.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace steerlm {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const OptimizerOptions peak{.learning_rate = 1e-3};

std::vector<double> rates(const ScheduleOptions& schedule, std::int64_t total) {
  std::vector<double> all;
  for (std::int64_t t = 1; t <= total; ++t) all.push_back(learning_rate_at(peak, schedule, t, total));
  return all;
}

// The rates that transformers.get_scheduler (5.24.0, torch 2.11.0) gives an optimiser of rate 1e-3 at each step, the
// steps of its own warm-up left out: it starts at a rate of 0. tools/make_schedule_table.py
struct Theirs {
  const char* name;
  ScheduleOptions schedule;
  std::int64_t total;
  std::vector<double> rates;  // of the steps after warm-up
};

const Theirs table[] = {
#include "optim/schedule_table.inc"
};

TEST(Schedule, AfterWarmUpEachStepHasTheRateOfTransformers) {
  for (const Theirs& theirs : table) {
    const std::vector<double> ours = rates(theirs.schedule, theirs.total);
    const auto warmup = static_cast<size_t>(theirs.schedule.warmup_steps);
    ASSERT_EQ(ours.size(), warmup + theirs.rates.size()) << theirs.name;
    for (size_t i = 0; i < theirs.rates.size(); ++i)
      EXPECT_NEAR(ours[warmup + i], theirs.rates[i], 1e-15) << theirs.name << ", step " << warmup + i + 1;
  }
}

TEST(Schedule, EveryStepTrainsTheFirstAndTheLastOneToo) {
  for (const ScheduleKind kind :
       {ScheduleKind::constant, ScheduleKind::linear, ScheduleKind::cosine, ScheduleKind::wsd})
    for (const std::int64_t total : {1, 2, 5, 100})
      for (const std::int64_t warmup : {0, 1, 4, 5, 200})
        for (const std::int64_t decay : {std::int64_t{0}, total, 3 * total})
          for (const double rate : rates({.kind = kind, .warmup_steps = warmup, .decay_steps = decay}, total))
            EXPECT_GT(rate, 0) << enum_name(kind) << " " << total << " " << warmup << " " << decay;
}

TEST(Schedule, WarmUpIsLinearAndReachesThePeak) {
  const ScheduleOptions schedule{.warmup_steps = 4};
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 1, 100), 0.25e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 4, 100), 1e-3);
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 100, 100), 1e-3);
}

TEST(Schedule, DecayStepsEndTheDecayEarly) {
  const ScheduleOptions schedule{.kind = ScheduleKind::linear, .min_learning_rate = 1e-4, .decay_steps = 10};
  EXPECT_NEAR(learning_rate_at(peak, schedule, 6, 100), 0.55e-3, 1e-12);
  EXPECT_NEAR(learning_rate_at(peak, schedule, 10, 100), 0.19e-3, 1e-12);
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 11, 100), 1e-4);
  EXPECT_DOUBLE_EQ(learning_rate_at(peak, schedule, 100, 100), 1e-4);
}

TEST(Schedule, WsdDecaysOverAllThatThereIsWhereThatIsLess) {
  const ScheduleOptions longer{.kind = ScheduleKind::wsd, .warmup_steps = 2, .decay_steps = 100};
  const ScheduleOptions fitting{.kind = ScheduleKind::wsd, .warmup_steps = 2, .decay_steps = 8};
  EXPECT_EQ(rates(longer, 10), rates(fitting, 10));
}

TEST(Schedule, WhatFitsIsNotWarnedOf) {
  EXPECT_THAT(schedule_warnings({.learning_rate = 0}, {}, 1), ElementsAre(HasSubstr("no weight is changed")));
  EXPECT_THAT(schedule_warnings(peak, {}, 1), IsEmpty());
  EXPECT_THAT(schedule_warnings(peak, {.warmup_steps = 4}, 5), IsEmpty());
  EXPECT_THAT(schedule_warnings(peak, {.kind = ScheduleKind::cosine, .warmup_steps = 4, .min_learning_rate = 1e-4}, 5),
              IsEmpty());
  EXPECT_THAT(schedule_warnings(peak, {.kind = ScheduleKind::linear, .warmup_steps = 1, .decay_steps = 4}, 5),
              IsEmpty());
  EXPECT_THAT(schedule_warnings(peak, {.kind = ScheduleKind::wsd, .decay_steps = 2}, 5), IsEmpty());
}

TEST(Schedule, WhatDoesNotFitIsNamedWithItsNumbers) {
  const auto warnings = [](const ScheduleOptions& schedule) { return schedule_warnings(peak, schedule, 5); };
  EXPECT_THAT(warnings({.warmup_steps = 100}),
              ElementsAre("schedule.warmup_steps 100 leaves nothing of the run's 5 steps: the learning rate ends at "
                          "5e-05, optimizer.learning_rate is 0.001"));
  EXPECT_THAT(warnings({.kind = ScheduleKind::cosine, .warmup_steps = 5}),
              ElementsAre(HasSubstr("schedule.warmup_steps 5 leaves nothing of the run's 5 steps")));
  EXPECT_THAT(
      warnings({.kind = ScheduleKind::wsd, .warmup_steps = 1, .decay_steps = 100}),
      ElementsAre("schedule.decay_steps 100 is more than the 4 steps after warm-up: the decay takes all of them"));
  EXPECT_THAT(warnings({.kind = ScheduleKind::linear, .decay_steps = 10}),
              ElementsAre("schedule.decay_steps 10 is more than the 5 steps after warm-up: the decay is cut off at a "
                          "learning rate of 0.0006"));
  EXPECT_THAT(
      warnings({.kind = ScheduleKind::cosine, .warmup_steps = 1, .decay_steps = 2}),
      ElementsAre("the decay is over after step 3: the steps 4 to 5 have a learning rate of 0 and train nothing"));
  EXPECT_THAT(warnings({.min_learning_rate = 1e-4, .decay_steps = 3}),
              ElementsAre("schedule.decay_steps has no effect: schedule.kind is constant",
                          "schedule.min_learning_rate has no effect: schedule.kind is constant"));
}

}  // namespace
}  // namespace steerlm
