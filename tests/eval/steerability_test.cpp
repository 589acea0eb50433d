#include "steerlm/eval/steerability.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace steerlm {
namespace {

using testing::ElementsAre;

const std::vector<std::string> dials{"humor", "toxicity"};

TEST(Steerability, SweepByHand) {
  // The humor dial moves humor by 2 a level and toxicity by 0.5.
  std::vector<DialSample> samples;
  for (int level : {4, 0, 2}) {
    samples.push_back({0, level, {2.0 * level - 1, 0.5 * level}});
    samples.push_back({0, level, {2.0 * level + 1, 0.5 * level}});
  }
  const DialTable table = make_dial_table(dials, {dials, {}}, samples, 1);
  EXPECT_EQ(table.measures, dials);
  const DialRow& humor = table.rows.at(0);
  EXPECT_EQ(humor.name, "humor");
  EXPECT_EQ(humor.own, 0);
  EXPECT_THAT(humor.levels, ElementsAre(0, 2, 4));
  EXPECT_THAT(humor.count, ElementsAre(2, 2, 2));
  EXPECT_THAT(humor.means, ElementsAre(ElementsAre(0, 0), ElementsAre(4, 1), ElementsAre(8, 2)));
  EXPECT_THAT(humor.slope, ElementsAre(2, 0.5));
  EXPECT_THAT(humor.effect, ElementsAre(8, 2));
  EXPECT_THAT(humor.spearman, ElementsAre(1, 1));
  EXPECT_EQ(humor.own_spearman, 1);
  EXPECT_TRUE(humor.own_monotone);
  EXPECT_EQ(humor.side_effect, 2);
  EXPECT_EQ(humor.side_share, 0.25);
  EXPECT_LE(humor.own_slope_interval.low, 2);
  EXPECT_GE(humor.own_slope_interval.high, 2);
  EXPECT_LT(humor.own_slope_interval.high - humor.own_slope_interval.low, 1.5);
  EXPECT_TRUE(humor.steers());
}

TEST(Steerability, ADialWithoutAnswersHasUndefinedFigures) {
  const std::vector<DialSample> samples{{0, 0, {1, 1}}};
  const DialTable table = make_dial_table(dials, {dials, {}}, samples, 1);
  EXPECT_TRUE(table.rows.at(1).levels.empty());
  EXPECT_TRUE(std::isnan(table.rows.at(1).own_slope));
  EXPECT_TRUE(std::isnan(table.rows.at(1).own_slope_interval.low));
  EXPECT_TRUE(std::isnan(table.rows.at(0).own_spearman)) << "one level shows no trend";
  EXPECT_FALSE(table.rows.at(0).own_monotone);
}

// Level means 0.5, 1.6, 1.6, 2.8, 2.1: scipy 1.17.1, stats.spearmanr.
TEST(Steerability, SpearmanTakesTiedMeansTogether) {
  std::vector<DialSample> samples;
  for (int level = 0; level < 5; ++level) {
    samples.push_back({0, level, {std::vector<double>{0.5, 1.6, 1.6, 2.8, 2.1}[static_cast<size_t>(level)], 3}});
  }
  const DialRow row = make_dial_table(dials, {dials, {}}, samples, 1).rows.at(0);
  EXPECT_NEAR(row.own_spearman, 0.8720815992723809, 1e-14);
  EXPECT_FALSE(row.own_monotone);
  EXPECT_EQ(row.side_effect, 0);
  EXPECT_TRUE(std::isnan(row.spearman[1]));
}

TEST(Steerability, ADialSteersWhereTheIntervalOfItsSlopeLeavesOutZero) {
  const auto with_interval = [](double low, double high) {
    DialRow row;
    row.own_slope_interval = {low, high};
    return row;
  };
  EXPECT_TRUE(with_interval(0.1, 0.3).steers());
  EXPECT_TRUE(with_interval(-0.3, -0.1).steers()) << "backwards, but it does";
  EXPECT_FALSE(with_interval(-0.1, 0.3).steers());
  EXPECT_FALSE(with_interval(NAN, NAN).steers());
}

// contracts.md section 4: characters are no attribute, and their effect is in no average with points.
TEST(Steerability, SideEffectsCompareAttributesWithAttributes) {
  // A level of humor is worth 2 of humor, 0.5 of toxicity, -0.25 of quality, and 30 characters: over four levels 8, 2,
  // -1 and 120. The share is ((2 + 1) / 2) / 8.
  std::vector<DialSample> samples;
  for (int level : {0, 2, 4}) samples.push_back({0, level, {2.0 * level, 0.5 * level, 4 - 0.25 * level, 30.0 * level}});
  const DialTable table = make_dial_table(dials, {{"humor", "toxicity", "quality"}, {"characters"}}, samples, 1);
  EXPECT_THAT(table.measures, ElementsAre("humor", "toxicity", "quality", "characters"));
  const DialRow& humor = table.rows.at(0);
  EXPECT_THAT(humor.effect, ElementsAre(8, 2, -1, 120));
  EXPECT_EQ(humor.side_effect, 1.5);
  EXPECT_EQ(humor.side_share, 0.1875);
}

TEST(Steerability, WithoutAnotherAttributeThereIsNoSideEffect) {
  const std::vector<DialSample> samples{{0, 0, {0, 100}}, {0, 4, {4, 50}}};
  const DialRow row = make_dial_table(dials, {{"humor"}, {"characters"}}, samples, 1).rows.at(0);
  EXPECT_EQ(row.own_slope, 1);
  EXPECT_TRUE(std::isnan(row.side_effect));
  EXPECT_TRUE(std::isnan(row.side_share));
}

TEST(Steerability, MeasuresNeedNotBeAttributes) {
  const std::vector<DialSample> samples{{1, 0, {100, 5}}, {1, 3, {400, 8}}};
  const DialRow row = make_dial_table(dials, {{}, {"toxicity", "grade"}}, samples, 1).rows.at(1);
  EXPECT_EQ(row.own, -1);
  EXPECT_THAT(row.effect, ElementsAre(300, 3));
  EXPECT_TRUE(std::isnan(row.own_slope));
  EXPECT_TRUE(std::isnan(row.side_share));
}

// Two measures in units of their own, two answers a level: characters spread by 10 around the mean, grades by 1.
std::vector<DialSample> own_unit_samples() {
  std::vector<DialSample> samples;
  for (int level : {0, 2, 4}) {
    samples.push_back({0, level, {100.0 * level - 10, 0.5 * level - 1}});
    samples.push_back({0, level, {100.0 * level + 10, 0.5 * level + 1}});
  }
  return samples;
}

TEST(Steerability, SideEffectsInUnitsOfTheirOwnAreCountedInSpreads) {
  const Measures measures{.attributes = {"verbosity", "complexity"}, .own_units = true};
  const std::vector<std::string> names{"verbosity", "complexity"};
  const DialTable table = make_dial_table(names, measures, own_unit_samples(), 1);
  // Six answers less three means: sqrt(6 * 10^2 / 3), sqrt(6 * 1 / 3).
  EXPECT_NEAR(table.spread.at(0), std::sqrt(200.0), 1e-12);
  EXPECT_NEAR(table.spread.at(1), std::sqrt(2.0), 1e-12);
  const DialRow& row = table.rows.at(0);
  EXPECT_THAT(row.effect, ElementsAre(400, 2));
  EXPECT_NEAR(row.side_effect, 2 / std::sqrt(2.0), 1e-12);
  EXPECT_NEAR(row.side_share, (2 / std::sqrt(2.0)) / (400 / std::sqrt(200.0)), 1e-12);
  const DialTable plain = make_dial_table(names, {{"verbosity", "complexity"}, {}}, own_unit_samples(), 1);
  EXPECT_EQ(plain.spread, table.spread) << "the same answers, whatever they are compared in";
  EXPECT_EQ(plain.rows.at(0).side_share, 0.005) << "in one unit";
}

TEST(Steerability, AMeasureThatNothingMovesIsNoSideEffect) {
  std::vector<DialSample> samples = own_unit_samples();
  for (DialSample& sample : samples) sample.measured[1] = 3;
  const DialTable table = make_dial_table(dials, {.attributes = {"humor", "toxicity"}, .own_units = true}, samples, 1);
  EXPECT_EQ(table.rows.at(0).side_share, 0);
}

TEST(Steerability, EachLevelsMeanHasAnInterval) {
  const DialRow row =
      make_dial_table(dials, {.attributes = {"humor", "toxicity"}, .own_units = true}, own_unit_samples(), 1)
          .rows.at(0);
  ASSERT_EQ(row.own_mean_interval.size(), 3u);
  for (size_t l = 0; l < 3; ++l) {
    EXPECT_EQ(row.own_mean_interval[l].low, 200.0 * static_cast<double>(l) - 10) << "both draws are the lower answer";
    EXPECT_EQ(row.own_mean_interval[l].high, 200.0 * static_cast<double>(l) + 10);
  }
}

TEST(Steerability, AnAnswerWithoutAMeasureIsLeftOutOfItAlone) {
  std::vector<DialSample> samples = own_unit_samples();
  samples.push_back({0, 0, {NAN, 9}});
  samples.push_back({0, 3, {NAN, 1}});
  const DialRow row =
      make_dial_table(dials, {.attributes = {"humor", "toxicity"}, .own_units = true}, samples, 1).rows.at(0);
  EXPECT_THAT(row.count, ElementsAre(3, 2, 1, 2));
  EXPECT_EQ(row.means.at(0).at(0), 0);
  EXPECT_EQ(row.means.at(0).at(1), 3);
  EXPECT_TRUE(std::isnan(row.means.at(2).at(0))) << "no answer of the level 3 has it";
  EXPECT_EQ(row.slope.at(0), 100);
  EXPECT_EQ(row.own_spearman, 1);
  EXPECT_TRUE(row.own_monotone);
  EXPECT_TRUE(std::isnan(row.own_mean_interval.at(2).low));
  EXPECT_TRUE(row.steers());
}

TEST(Steerability, TheSteeringErrorIsTheMeanDistanceInLevels) {
  std::vector<DialSample> samples{{0, 0, {5, 0}, 1}, {0, 0, {5, 0}, 0}, {0, 4, {5, 0}, 1}, {0, 4, {5, 0}, NAN}};
  const DialRow row = make_dial_table(dials, {dials, {}}, samples, 1).rows.at(0);
  EXPECT_THAT(row.level_steering_error, ElementsAre(0.5, 3));
  EXPECT_DOUBLE_EQ(row.steering_error, 4.0 / 3) << "over three answers whose level is known";
  EXPECT_LT(row.steering_error_interval.low, 4.0 / 3);
  EXPECT_GT(row.steering_error_interval.high, 4.0 / 3);
  EXPECT_TRUE(std::isnan(make_dial_table(dials, {dials, {}}, own_unit_samples(), 1).rows.at(0).steering_error));
}

// The intervals are those of the slope over the same drawings, times the span of the levels.
TEST(Steerability, EachEffectHasAnInterval) {
  const DialTable table =
      make_dial_table(dials, {.attributes = {"humor", "toxicity"}, .own_units = true}, own_unit_samples(), 1);
  const DialRow& row = table.rows.at(0);
  ASSERT_EQ(row.effect_interval.size(), 2u);
  EXPECT_DOUBLE_EQ(row.effect_interval[0].low, 4 * row.own_slope_interval.low);
  EXPECT_DOUBLE_EQ(row.effect_interval[0].high, 4 * row.own_slope_interval.high);
  EXPECT_LT(row.effect_interval[1].low, 2);
  EXPECT_GT(row.effect_interval[1].high, 2);
  EXPECT_GT(row.effect_interval[0].low, 0) << "400 characters are no chance";
  EXPECT_LT(row.effect_interval[1].low, 0) << "two grades among answers that are two grades apart may be";
  ASSERT_EQ(table.rows.at(1).effect_interval.size(), 2u);
  EXPECT_TRUE(std::isnan(table.rows.at(1).effect_interval[0].low));
}

TEST(Steerability, TheSpreadWithinALevelIsOverThePrompts) {
  // Means of the prompts 3, 6 and 9 at level 0; at level 1 a single prompt is left.
  std::vector<DialSample> samples;
  for (const auto& [prompt, values] :
       std::vector<std::pair<size_t, std::vector<double>>>{{0, {1, 5}}, {1, {6, NAN}}, {2, {10, 8}}}) {
    for (const double value : values) samples.push_back({0, 0, {value, 1}, NAN, prompt});
  }
  samples.push_back({0, 1, {4, 1}, NAN, 0});
  samples.push_back({0, 1, {8, 1}, NAN, 0});
  const DialRow row = make_dial_table(dials, {dials, {}}, samples, 1).rows.at(0);
  ASSERT_EQ(row.prompt_spread.size(), 2u);
  EXPECT_DOUBLE_EQ(row.prompt_spread[0][0], 3);
  EXPECT_DOUBLE_EQ(row.prompt_spread[0][1], 0);
  EXPECT_TRUE(std::isnan(row.prompt_spread[1][0]));
}

}  // namespace
}  // namespace steerlm
