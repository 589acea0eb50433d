// What the sweep of evaluate cannot be asked for.
#include <gmock/gmock.h>

#include "recipe/recipe_support.h"

namespace steerlm {
namespace {

std::string with(const std::string& dials) {
  return "stage: evaluate\nrun_dir: r\nmodel: m\ndata: {validation: a}\ndials: {prompts: a, " + dials + "}\n";
}

TEST(DialRecipe, WhatIsNamedTwiceWouldCountTwice) {
  EXPECT_EQ(faults(with("attributes: [quality, humor, quality]")), "r.yaml:5:33: the dial 'quality' is named twice");
  EXPECT_EQ(faults(with("levels: [0, 4, 0]")), "r.yaml:5:29: the level 0 is named twice");
  EXPECT_EQ(faults(with("attributes: [quality, humor], levels: [0, 4]")), "");
}

TEST(DialRecipe, AnEmptyListIsNotAll) {
  EXPECT_EQ(faults(with("attributes: []")),
            "r.yaml:5:33: 'dials.attributes' is empty (expected all, or a list that names some)");
  EXPECT_EQ(faults(with("levels: []")),
            "r.yaml:5:29: 'dials.levels' is empty (expected all, or a list that names some)");
  EXPECT_EQ(faults(with("attributes: all, levels: all")), "");
}

TEST(DialRecipe, GreedyAnswersAreOneAnswer) {
  EXPECT_EQ(faults(with("samples_per_prompt: 3, sampling: {temperature: 0}")),
            "r.yaml:5:41: equal answers would be counted as if each were drawn by itself (found 3 samples at "
            "temperature 0, expected 1, or dials.sampling.temperature above 0)");
  EXPECT_EQ(faults(with("samples_per_prompt: 1, sampling: {temperature: 0}")), "");
  EXPECT_EQ(faults(with("samples_per_prompt: 3, sampling: {temperature: 0.1}")), "");
}

}  // namespace
}  // namespace steerlm
