#include "steerlm/recipe/compare.h"
#include "recipe_support.h"

namespace steerlm {
namespace {

std::vector<std::string> differences(const std::string& before, const std::string& now) {
  return differing_keys(dump_recipe(load(smallest(Stage::sft) + before)),
                        dump_recipe(load(smallest(Stage::sft) + now)));
}
using Keys = std::vector<std::string>;

TEST(CompareTest, EqualRecipesInOtherWords) {
  EXPECT_EQ(differences("optimizer: {learning_rate: 5e-6}\n", "optimizer: {learning_rate: 0.000005}\n"), Keys{});
  EXPECT_EQ(differences("", "method: steerlm\nseed: 1234\n"), Keys{});
}

TEST(CompareTest, NamesTheKeysWithBothValues) {
  EXPECT_EQ(differences("", "optimizer: {learning_rate: 1e-5}\nseed: 5\n"),
            (Keys{"optimizer.learning_rate: 5.0e-06 -> 1.0e-05", "seed: 1234 -> 5"}));
  EXPECT_EQ(differences("", "train: {micro_batch_tokens: auto}\n"), Keys{"train.micro_batch_tokens: 16384 -> auto"});
  EXPECT_EQ(differences("", "schedule: {kind: wsd}\n"),
            (Keys{"schedule.decay_steps: (none) -> 0", "schedule.kind: constant -> wsd",
                  "schedule.min_learning_rate: (none) -> 0"}));
  const std::string a = dump_recipe(load(smallest(Stage::sft))),
                    b = dump_recipe(load(smallest(Stage::sft), {"data.train[0].path=x y"}));
  EXPECT_EQ(differing_keys(a, b), Keys{"data.train[0].path: a.jsonl -> \"x y\""});
}

TEST(CompareTest, WhatDoesNotCount) {
  EXPECT_EQ(differences("", "device: cuda\nprecision: auto\n"), Keys{"precision: (none) -> bf16"});
  EXPECT_EQ(differences("precision: fp32\ndevice: cpu\n", "device: cuda\nprecision: fp32\n"), Keys{});
  EXPECT_EQ(differences("", "checkpoint: {every_steps: 5, keep: 9}\n"), Keys{});
  EXPECT_EQ(differences("", "train: {max_minutes: 5}\n"), Keys{});
  EXPECT_EQ(differences("", "train: {recompute: block}\n"), Keys{}) << "the same numbers to the bit";
  const std::string a = dump_recipe(load(smallest(Stage::sft))),
                    b = dump_recipe(load(smallest(Stage::sft), {"run_dir=elsewhere"}));
  EXPECT_EQ(differing_keys(a, b), Keys{});
}

// Where a recipe gave a part of `attributes`, the version before wrote the whole range into recipe.yaml.
TEST(CompareTest, ARangeThatIsLeftToTheModelFoldersDoesNotCount) {
  for (const Stage stage : {Stage::evaluate, Stage::bootstrap}) {
    const auto dumped = [&](const std::string& attributes) {
      return dump_recipe(load(smallest(stage) + "attributes: " + attributes + "\n"));
    };
    const std::string now = dumped("{names: [a, b], max: 4}"), before = dumped("{names: [a, b], min: 0, max: 4}");
    EXPECT_NE(now, before);
    EXPECT_EQ(differing_keys(before, now), Keys{});
    EXPECT_EQ(differing_keys(now, before), Keys{});
    EXPECT_EQ(differing_keys(before, dumped("{names: [a, b]}")), Keys{});
    EXPECT_EQ(differing_keys(before, dumped("{names: [a, b], max: 5}")), Keys{"attributes.max: 4 -> 5"});
    EXPECT_NE(differing_keys(before, dumped("{names: [a, c], max: 4}")), Keys{});
  }
}

TEST(CompareTest, ALongerTrainingIsTheSameRecipe) {
  EXPECT_EQ(differences("train: {steps: 5}\n", "train: {steps: 9}\n"), Keys{});
  EXPECT_EQ(differences("train: {steps: 9}\n", "train: {steps: 10}\n"), Keys{}) << "compared as numbers";
  EXPECT_EQ(differences("train: {steps: 9}\n", "train: {steps: 5}\n"), Keys{"train.steps: 9 -> 5"});
  EXPECT_EQ(differences("train: {epochs: 1}\n", "train: {epochs: 2}\n"), Keys{});
  EXPECT_EQ(differences("train: {epochs: 2}\n", "train: {epochs: 1}\n"), Keys{"train.epochs: 2 -> 1"});
  EXPECT_EQ(differences("train: {epochs: 2}\n", "train: {steps: 5}\n"),
            (Keys{"train.epochs: 2 -> (none)", "train.steps: (none) -> 5"}));
}

TEST(CompareTest, OtherStagesDiffer) {
  const auto keys =
      differing_keys(dump_recipe(load(smallest(Stage::sft))), dump_recipe(load(smallest(Stage::generate))));
  EXPECT_NE(std::find(keys.begin(), keys.end(), "stage: sft -> generate"), keys.end());
}

}  // namespace
}  // namespace steerlm
