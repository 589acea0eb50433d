#include "steerlm/hf/model_card.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "steerlm/hf/model_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

ModelFolder steered() {
  ModelFolder folder;
  folder.method = "helpsteer";
  folder.attributes = {.names = {"class", "quality", "humor"}, .min = 0, .max = 4, .defaults = {{"quality", 3}}};
  folder.text_template.system = "Be *kind*.\n```";
  return folder;
}

TEST(ModelCardTest, SaysWhatWasTrainedOnWhatAndHowToSteerIt) {
  const std::string text =
      model_card(steered(), {.base_model = "owner/model-1.0",
                             .steps = 800,
                             .training = {.conversations = 12, .tokens = 3456, .targets = 789},
                             .validation = {.conversations = 2, .tokens = 34, .targets = 5},
                             .metrics = {{"validation/loss", 1.23456}, {"validation/pearson/humor", std::nan("")}}});
  EXPECT_THAT(text, StartsWith("---\nlibrary_name: transformers\npipeline_tag: text-generation\n"
                               "base_model: owner/model-1.0\ntags:\n- steerlm\n---\n\n"
                               "# Attribute-conditioned language model\n"));
  for (const char* part :
       {"`method: helpsteer`", "Integers from 0 to 4", "| quality | 3 |", "| humor | 0 |", "800 optimiser steps",
        "| training | 12 | 3456 | 789 |", "| validation | 2 | 34 | 5 |", "| loss | 1.235 |",
        "| pearson/humor | undefined |", "\n    \"Be *kind*.\\n```\"\n", "--set quality=4,humor=4",
        "add_generation_prompt=True, quality=4, humor=4)", "`class` cannot be a keyword here"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(ModelCardTest, OnlyANameOfTheHubIsABaseModel) {
  for (const char* path : {"", "/data/owner/model", "models/base", "runs/base", "base", "a/b/c", "./base", "../base",
                           "owner/", "own er/model", "owner/.hidden"}) {
    EXPECT_THAT(model_card(steered(), {.base_model = path, .steps = 1}), Not(HasSubstr("base_model"))) << path;
  }
}

TEST(ModelCardTest, EveryKindOfModelHasItsOwnCard) {
  ModelFolder folder = steered();
  EXPECT_THAT(model_card(folder, {.predictor = true, .steps = 1}),
              HasSubstr("# Attribute predictor\n\nA language model that writes"));
  EXPECT_THAT(model_card(folder, {}), AllOf(HasSubstr("# Fresh language model"), Not(HasSubstr("## Training"))));
  folder.head.kind = HeadKind::regression;
  folder.head.bias = true;
  EXPECT_THAT(model_card(folder, {.predictor = true, .steps = 1}),
              AllOf(HasSubstr("AutoModelForSequenceClassification"), HasSubstr("score.bias"),
                    HasSubstr("text-classification")));
  folder.head.bias = false;
  EXPECT_THAT(model_card(folder, {.predictor = true, .steps = 1}), Not(HasSubstr("score.bias")));
  folder = {};
  EXPECT_THAT(model_card(folder, {.steps = 1}), AllOf(HasSubstr("# Chat model"), Not(HasSubstr("--set"))));
  folder.text_template.name = TemplateName::plain;
  EXPECT_THAT(model_card(folder, {.steps = 1}), AllOf(HasSubstr("# Base language model"), HasSubstr("--raw")));
}

}  // namespace
}  // namespace steerlm
