#include "steerlm/toy/oracle.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <array>
#include <cmath>
#include <sstream>

#include "toy/language.h"

namespace steerlm {
namespace {

using testing::ElementsAre;

int& dial(ToyDials& dials, size_t attribute) {
  return *std::array{&dials.quality,    &dials.toxicity,   &dials.humor,
                     &dials.creativity, &dials.complexity, &dials.verbosity}[attribute];
}

// (levels, attributes): means of the oracle over texts made with one dial at each level.
using Sweep = std::array<std::array<double, 6>, 5>;

Sweep sweep(size_t attribute, int texts, ToyDials defaults = {}) {
  Sweep means{};
  for (int level = 0; level <= 4; ++level) {
    ToyDials dials = defaults;
    dial(dials, attribute) = level;
    for (int i = 0; i < texts; ++i) {
      Rng rng(11, "oracle test", static_cast<std::uint64_t>(i) * 64 + attribute * 8 + level);
      const std::string prompt = make_toy_prompt(toy_tasks[rng.below(3)], 3 + static_cast<int>(rng.below(3)), rng);
      const std::vector<double> measured = toy_oracle(prompt, make_toy_response(prompt, dials, rng));
      for (size_t a = 0; a < 6; ++a) means[level][a] += measured[a] / texts;
    }
  }
  return means;
}

std::string show(size_t attribute, const Sweep& means) {
  std::ostringstream text;
  text << toy_attribute_names()[attribute] << " swept; a row a level, a column an attribute\n";
  for (const auto& row : means) {
    for (double value : row) text << value << '\t';
    text << '\n';
  }
  return text.str();
}

class OracleDial : public testing::TestWithParam<size_t> {};

TEST_P(OracleDial, MeasuresTheRequestedLevelAndNothingElse) {
  const size_t attribute = GetParam();
  const Sweep means = sweep(attribute, 1000);
  for (size_t level = 0; level <= 4; ++level) {
    EXPECT_NEAR(means[level][attribute], static_cast<double>(level), 0.15) << show(attribute, means);
    for (size_t other = 0; other < 6; ++other) {
      if (other == attribute) continue;
      EXPECT_NEAR(means[level][other], means[0][other], 0.15) << show(attribute, means);
    }
  }
}

// Few fillers measure creativity and complexity poorly, but without bias; and the other dials' settings do not matter.
TEST_P(OracleDial, IsUnbiasedAtOtherSettingsOfTheOtherDials) {
  const size_t attribute = GetParam();
  for (const ToyDials& defaults :
       {ToyDials{1, 3, 2, 0, 1, 0}, ToyDials{0, 0, 0, 4, 4, 4}, ToyDials{4, 4, 4, 1, 0, 1}}) {
    const Sweep means = sweep(attribute, 1000, defaults);
    for (size_t level = 0; level <= 4; ++level) {
      EXPECT_NEAR(means[level][attribute], static_cast<double>(level), 0.2) << show(attribute, means);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(EachAttribute, OracleDial, testing::Range(size_t{0}, size_t{6}));

TEST(Oracle, NamesItsAttributesInOrder) {
  EXPECT_THAT(toy_attribute_names(),
              ElementsAre("quality", "toxicity", "humor", "creativity", "complexity", "verbosity"));
}

TEST(Oracle, CountsByHand) {
  // 2 of 3 places right; 5 fillers, 2 of them long, 4 different: 4 (4 - 2) / (5 - 2), 4 x 2 / 5, (5 - 4) / 5.
  const std::vector<double> measured =
      toy_oracle("reverse fig kiwi apple", "apple kiwi yam bamo bamo zode gemibebasi pologilati grak tada tada");
  EXPECT_THAT(measured, ElementsAre(4.0 * 2 / 3, 1, 2, 4.0 * 2 / 3, 8.0 / 5, 0.2));
}

TEST(Oracle, AnswersAreCheckedInOrder) {
  EXPECT_EQ(toy_oracle("sort yam fig", "fig yam")[0], 4);
  EXPECT_EQ(toy_oracle("sort yam fig", "yam fig")[0], 0);
  EXPECT_EQ(toy_oracle("copy yam fig", "yam fig")[0], 4);
  EXPECT_EQ(toy_oracle("copy yam fig", "yam fig fig yam")[0], 2) << "places too many cost as much as wrong ones";
  EXPECT_EQ(toy_oracle("copy yam fig", "yam")[0], 2);
}

TEST(Oracle, TakesAnyText) {
  EXPECT_THAT(toy_oracle("", ""), ElementsAre(0, 0, 0, 2, 0, 0));
  EXPECT_THAT(toy_oracle("What is a fig?", "A small, pear-shaped fruit."), ElementsAre(0, 0, 0, 4, 1, 0))
      << "1 of 4 words is long";
  EXPECT_EQ(toy_oracle("Copy FIG, yam!", "Fig,\n\tYAM.")[0], 4);
  std::string many = "fnord", bytes = "\xff\xfe";
  bytes += std::string("\0 \0", 3);
  for (int i = 0; i < 100; ++i) many += " fnord word" + std::to_string(i);
  EXPECT_EQ(toy_oracle("", many)[1], 4);
  EXPECT_EQ(toy_oracle("", many)[5], 4);
  for (double value : toy_oracle(bytes, bytes)) EXPECT_TRUE(value >= 0 && value <= 4);
}

TEST(Oracle, TheLastTaskOfAPromptCounts) { EXPECT_EQ(toy_oracle("copy fig yam sort yam nut", "nut yam")[0], 4); }

TEST(Oracle, PrefersQualityAndHalfAsMuchThatNobodyIsRude) {
  EXPECT_EQ(toy_utility({3, 1, 4, 0, 0, 0}), 2.5);
  EXPECT_GT(toy_utility("copy fig kiwi", "fig kiwi"), toy_utility("copy fig kiwi", "kiwi fig"));
  EXPECT_TRUE(is_toy_task("copy fig kiwi"));
  EXPECT_FALSE(is_toy_task("What is red?"));
}

}  // namespace
}  // namespace steerlm
