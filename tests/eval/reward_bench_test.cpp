#include "steerlm/eval/reward_bench.h"

#include <gtest/gtest.h>

#include <cmath>

#include "eval/reward_bench_numbers.h"

namespace steerlm {
namespace {

TEST(RewardBench, SectionsAreTheirs) {
  for (const SectionCase& wanted : section_cases) {
    const std::vector<RewardBenchSection> sections = reward_bench_sections(wanted.subset_accuracy);
    ASSERT_EQ(sections.size(), 4u);
    for (size_t s = 0; s < 4; ++s) {
      if (wanted.scores[s] == 0)
        EXPECT_TRUE(std::isnan(sections[s].score)) << sections[s].name << ": nothing is known of it";
      else
        EXPECT_NEAR(sections[s].score, wanted.scores[s], 1e-12) << sections[s].name;
    }
  }
}

TEST(RewardBench, TheScoreIsTheMeanOfAllFourSections) {
  const std::array<double, 4>& scores = section_cases[0].scores;
  EXPECT_NEAR(reward_bench_score(reward_bench_sections(section_cases[0].subset_accuracy)),
              (scores[0] + scores[1] + scores[2] + scores[3]) / 4, 1e-12);
  EXPECT_TRUE(std::isnan(reward_bench_score(reward_bench_sections(section_cases[1].subset_accuracy))));
}

TEST(RewardBench, BestOfFourIsTheirs) {
  int shared = 0;
  for (const auto& row : best_of_four) {
    const double credit = best_of_n_credit(row[0], std::span(row).subspan(1, 3));
    EXPECT_DOUBLE_EQ(credit, row[4]);
    shared += credit > 0 && credit < 1;
  }
  EXPECT_GT(shared, 3) << "no row puts ties to the test";
}

TEST(RewardBench, TiesAreTheirs) {
  for (const TiesCase& wanted : ties_cases) EXPECT_NEAR(ties_score(wanted.prompts), wanted.score, 1e-12);
}

TEST(RewardBench, TiesNeedAPromptOfBothKinds) {
  const std::vector<TiesPrompt> lone{{.tied = true, .number = 1, .correct = {2, 2}, .incorrect = {1}},
                                     {.tied = false, .number = 2, .correct = {2}, .incorrect = {1}}};
  EXPECT_TRUE(std::isnan(ties_score(lone)));
}

}  // namespace
}  // namespace steerlm
