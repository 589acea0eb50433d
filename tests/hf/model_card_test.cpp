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

Tokenizer tokenizer(const std::string& name = "models/untied") {
  return Tokenizer::load(Path(STEERLM_SOURCE_DIR) / "tests/fixtures" / name);
}

ModelFolder steered() {
  ModelFolder folder;
  folder.method = "helpsteer";
  folder.attributes = {.names = {"class", "quality", "humor"}, .min = 0, .max = 4, .defaults = {{"quality", 3}}};
  folder.text_template.system = "Be *kind*.\n```";
  return folder;
}

TEST(ModelCardTest, SaysWhatWasTrainedOnWhatAndHowToSteerIt) {
  const std::string text =
      model_card(steered(), tokenizer(),
                 {.base_model = "owner/model-1.0",
                  .steps = 800,
                  .training = {.records = 12, .examples = 11, .tokens = 3456, .targets = 789},
                  .validation = {.records = 2, .examples = 1, .tokens = 34, .targets = 5},
                  .metrics = {{"validation/loss", 1.23456}, {"validation/pearson/humor", std::nan("")}}});
  EXPECT_THAT(text, StartsWith("---\nlibrary_name: transformers\npipeline_tag: text-generation\n"
                               "base_model: owner/model-1.0\ntags:\n- steerlm\n---\n\n"
                               "# Attribute-conditioned language model\n"));
  for (const char* part :
       {"`method: helpsteer`", "Integers from 0 to 4", "| quality | 3 |", "| humor | 0 |", "800 optimiser steps",
        "| training | 12 | 11 | 3456 | 789 |", "| validation | 2 | 1 | 34 | 5 |", "| loss | 1.235 |",
        "| pearson/humor | undefined |", "\n    \"Be *kind*.\\n```\"\n", "--set quality=3,humor=0",
        "add_generation_prompt=True, quality=3, humor=0)", "`class` cannot be a keyword here"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST(ModelCardTest, OnlyANameOfTheHubIsABaseModel) {
  for (const char* path : {"", "/data/owner/model", "models/base", "runs/base", "base", "a/b/c", "./base", "../base",
                           "owner/", "own er/model", "owner/.hidden"}) {
    EXPECT_THAT(model_card(steered(), tokenizer(), {.base_model = path, .steps = 1}), Not(HasSubstr("base_model")))
        << path;
  }
}

// Byte-level BPE merges across the ends of segments.
TEST(ModelCardTest, APromptOfByteLevelBpeIsEncodedPartByPart) {
  EXPECT_THAT(model_card(steered(), tokenizer(), {.steps = 1}),
              AllOf(HasSubstr("prompt.removeprefix"), Not(HasSubstr("steerlm_cut"))));
  for (const char* name : {"tokenizers/qwen2", "tokenizers/llama3"}) {
    EXPECT_THAT(model_card(steered(), tokenizer(name), {.steps = 1}),
                AllOf(HasSubstr("steerlm_cut=\"\\0\", quality=3"), HasSubstr("prompt.split(\"\\0\")"),
                      Not(HasSubstr("removeprefix(tokenizer"))));
  }
}

TEST(ModelCardTest, EveryKindOfModelHasItsOwnCard) {
  ModelFolder folder = steered();
  EXPECT_THAT(model_card(folder, tokenizer(), {.predictor = true, .steps = 1}),
              HasSubstr("# Attribute predictor\n\nA language model that writes"));
  EXPECT_THAT(model_card(folder, tokenizer(), {}),
              AllOf(HasSubstr("# Fresh language model"), Not(HasSubstr("## Training"))));
  folder.head.kind = HeadKind::regression;
  folder.head.bias = true;
  EXPECT_THAT(model_card(folder, tokenizer(), {.predictor = true, .steps = 1}),
              AllOf(HasSubstr("AutoModelForSequenceClassification"), HasSubstr("score.bias"),
                    HasSubstr("text-classification")));
  folder.head.bias = false;
  EXPECT_THAT(model_card(folder, tokenizer(), {.predictor = true, .steps = 1}), Not(HasSubstr("score.bias")));
  EXPECT_THAT(model_card(folder, tokenizer(), {.predictor = true, .steps = 1}),
              AllOf(HasSubstr("A linear head on the last token gives"), Not(HasSubstr("begin"))));
  folder = {};
  EXPECT_THAT(model_card(folder, tokenizer(), {.steps = 1}), AllOf(HasSubstr("# Chat model"), Not(HasSubstr("--set"))));
  folder.text_template.name = TemplateName::plain;
  EXPECT_THAT(model_card(folder, tokenizer(), {.steps = 1}),
              AllOf(HasSubstr("# Base language model"), HasSubstr("--raw")));
}

// The base's config.json may call the template's end marker padding, which Transformers' class passes over.
TEST(ModelCardTest, ThePaddingOfAnAdaptersBaseIsNotReadByItsScore) {
  ModelFolder folder = steered();
  EXPECT_THAT(model_card(folder, tokenizer(), {.adapter = true, .predictor = true, .steps = 1}),
              AllOf(HasSubstr("base_model_name_or_path)\n"), Not(HasSubstr("pad_token_id=None"))));
  folder.head.kind = HeadKind::regression;
  EXPECT_THAT(model_card(folder, tokenizer(), {.adapter = true, .predictor = true, .steps = 1}),
              HasSubstr("base_model_name_or_path, num_labels=3, pad_token_id=None)\n"));
}

// Transformers' class scores the last token.
TEST(ModelCardTest, AMeanOverTheResponseIsComputedInItsCode) {
  ModelFolder folder = steered();
  folder.head = {.kind = HeadKind::regression, .bias = true, .pooling = HeadPooling::mean};
  EXPECT_THAT(
      model_card(folder, tokenizer(), {.predictor = true, .ridge = true}),
      AllOf(HasSubstr("A linear head on the mean of the last hidden states over the tokens of the last response"),
            HasSubstr("would score the last token instead of the mean and does not read the head's bias"),
            HasSubstr("text.removesuffix(\"\\n<extra_id_2>\").removesuffix(messages[-1][\"content\"])"),
            HasSubstr("scores = states.mean(0) @ model.score.weight.T"), HasSubstr("scores = scores + weight"),
            Not(HasSubstr("logits"))));
  EXPECT_THAT(model_card(folder, tokenizer("tokenizers/qwen2"), {.predictor = true, .ridge = true}),
              HasSubstr("text.split(\"\\0\")[:-4])"));
  folder.text_template.name = TemplateName::chatml;
  EXPECT_THAT(model_card(folder, tokenizer("tokenizers/qwen2"), {.predictor = true, .ridge = true}),
              HasSubstr("text.split(\"\\0\")[:-3])"));
}

}  // namespace
}  // namespace steerlm
