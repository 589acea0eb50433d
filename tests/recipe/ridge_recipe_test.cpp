// Keys of a head that is solved, and of folds.
#include <gmock/gmock.h>

#include "recipe/recipe_support.h"
#include "steerlm/recipe/compare.h"

namespace steerlm {
namespace {

using testing::HasSubstr;

std::string predictor(const std::string& more, const std::string& data = "") {
  return "stage: train-predictor\nrun_dir: r\nmodel: {path: m}\ndata: {train: [a.jsonl]" + data + "}\n" + more;
}

std::string message(const std::string& text) {
  try {
    load(text);
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::recipe);
    std::string all;
    for (const Fault& fault : error.faults()) all += format_fault(fault) + "\n";
    return all;
  }
  return "";
}

TEST(RidgeRecipeTest, IsTheSameWhenItIsWritten) {
  const std::string text = predictor(
      "head: {kind: ridge, pooling: mean, penalties: [0.5, 2, 1e9], penalty_folds: 3, features: f}\n", ", fold: 2/5");
  const Recipe recipe = load(text);
  EXPECT_EQ(recipe.head.kind, PredictorKind::ridge);
  EXPECT_EQ(recipe.head.penalties, (std::vector<double>{0.5, 2, 1e9}));
  EXPECT_EQ(recipe.data.fold, "2/5");
  const std::string dumped = dump_recipe(recipe);
  const Recipe again = load(dumped);
  EXPECT_EQ(dump_recipe(again), dumped);
  EXPECT_EQ(again.head.penalties, recipe.head.penalties);
  EXPECT_EQ(again.head.penalty_folds, 3);
  EXPECT_EQ(again.head.features, "f");
  EXPECT_EQ(again.head.pooling, HeadPooling::mean);
  EXPECT_EQ(again.head.model_head().pooling, HeadPooling::mean);
  EXPECT_EQ(again.data.fold, "2/5");
  EXPECT_TRUE(again.without_effect.empty());
  for (const char* idle : {"optimizer", "schedule", "checkpoint", "evaluate:", "epochs", "batch_size", "loss"})
    EXPECT_THAT(dumped, testing::Not(HasSubstr(idle)));
  EXPECT_THAT(dumped, HasSubstr("micro_batch_tokens"));
  const std::string regression = dump_recipe(load(predictor("head: {kind: regression}\n")));
  for (const char* idle : {"pooling", "penalties", "penalty_folds", "features", "fold"})
    EXPECT_THAT(regression, testing::Not(HasSubstr(idle)));
}

// Where features are kept and what has no effect make no other run.
TEST(RidgeRecipeTest, WhatMakesAnotherRun) {
  const std::string plain = dump_recipe(load(predictor("head: {kind: ridge}\n")));
  const auto differences = [&](const std::string& more) {
    return differing_keys(plain, dump_recipe(load(predictor(more))));
  };
  EXPECT_THAT(differences("head: {kind: ridge, features: f}\n"), testing::IsEmpty());
  EXPECT_THAT(differences("head: {kind: ridge}\ntrain: {steps: 3}\noptimizer: {learning_rate: 1}\n"),
              testing::IsEmpty());
  EXPECT_THAT(differences("head: {kind: ridge, pooling: mean}\n"), testing::ElementsAre("head.pooling: last -> mean"));
  EXPECT_THAT(differences("head: {kind: ridge, penalty_folds: 3}\n"),
              testing::ElementsAre("head.penalty_folds: 5 -> 3"));
  EXPECT_EQ(
      load(predictor("head: {kind: ridge}\ntrain: {steps: 3, max_minutes: 1}\noptimizer: {eps: 1}\n")).without_effect,
      std::vector<std::string>{"head.kind: ridge is solved in closed form: without effect are optimizer, train.steps"});
  EXPECT_TRUE(load(predictor("head: {kind: regression}\ntrain: {steps: 3}\n")).without_effect.empty());
}

TEST(RidgeRecipeTest, WhatARidgeHeadCannotHave) {
  EXPECT_THAT(message(predictor("head: {kind: ridge}\nlora: {rank: 2}\n")), HasSubstr("'lora' trains the model"));
  EXPECT_THAT(message(predictor("head: {kind: ridge, bias: false}\n")), HasSubstr("leave head.bias out"));
  EXPECT_EQ(message(predictor("head: {kind: ridge, bias: true}\n")), "");
  EXPECT_THAT(message(predictor("head: {kind: ridge, penalties: []}\n")), HasSubstr("'head.penalties' is empty"));
  EXPECT_THAT(message(predictor("head: {kind: ridge, penalties: [1, 0]}\n")),
              HasSubstr("'head.penalties[1]' is out of range (found 0, expected a number above 0)"));
  EXPECT_THAT(message(predictor("head: {kind: ridge, penalties: 3}\n")),
              HasSubstr("expected a list of numbers above 0"));
  EXPECT_THAT(message(predictor("head: {kind: ridge, penalties: [a]}\n")), HasSubstr("expected a number above 0"));
  EXPECT_THAT(message(predictor("head: {kind: ridge, penalty_folds: 1}\n")), HasSubstr("from 2 to 1000"));
  EXPECT_THAT(message(predictor("head: {kind: regression, penalties: [1]}\n")),
              HasSubstr("'head.penalties' is for 'head.kind: ridge' alone"));
  EXPECT_THAT(message(predictor("head: {kind: regression, pooling: mean}\n")),
              HasSubstr("'head.pooling' is for 'head.kind: ridge' alone"));
  EXPECT_THAT(message(predictor("head: {kind: regression, loss: scaled, pooling: mean}\n")),
              HasSubstr("'head.pooling' is for 'head.kind: ridge' alone"));
  EXPECT_THAT(message(predictor("head: {kind: ridge, pooling: first}\n")), HasSubstr("expected one of last, mean"));
  EXPECT_THAT(message(predictor("head: {kind: language_model, features: f}\n")),
              HasSubstr("'head.features' is for 'head.kind: ridge' alone"));
  for (const char* bias : {"true", "false"}) {
    EXPECT_THAT(message(predictor("head: {kind: language_model, bias: " + std::string(bias) + "}\n")),
                HasSubstr("'head.bias' is of a head that gives scores (found head.kind: language_model)"));
  }
}

TEST(FoldRecipeTest, WhatAFoldIs) {
  EXPECT_EQ(message(predictor("", ", fold: 5/5")), "");
  EXPECT_THAT(message(predictor("", ", fold: 0/5")), HasSubstr("(found 0/5, expected k from 1 to 5)"));
  EXPECT_THAT(message(predictor("", ", fold: 6/5")), HasSubstr("(found 6/5, expected k from 1 to 5)"));
  EXPECT_THAT(message(predictor("", ", fold: 1/1")), HasSubstr("(found 1/1, expected n of at least 2)"));
  EXPECT_THAT(message(predictor("", ", fold: x")), HasSubstr("(found 'x', expected k/n, such as 1/5)"));
  EXPECT_THAT(message(predictor("", ", fold: 1/5, validation_fraction: 0.1")),
              HasSubstr("'data.fold' and 'data.validation_fraction' exclude each other"));
  EXPECT_THAT(message(predictor("", ", fold: 1/5, validation: [b]")),
              HasSubstr("'data.fold' and 'data.validation' exclude each other"));
  EXPECT_EQ(message(predictor("checkpoint: {keep_best: {}}\n", ", fold: 1/5")), "") << "a fold is validation data";
  EXPECT_THAT(message(smallest(Stage::bootstrap) + "data: {fold: 1/5}\n"), HasSubstr("it belongs to"));
}

}  // namespace
}  // namespace steerlm
