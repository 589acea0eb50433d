// The likelihood of responses under another model: what Transformers computes, and what is refused before anything is
// sampled. contracts.md section 4.
#include "stages/perplexity.h"

#include <ATen/ops/full_like.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

#include "stages/perplexity_numbers.h"
#include "support/computing.h"

namespace steerlm {
namespace {

const Path untied = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / "untied";

OpenModel opened(TemplateName name) {
  OpenModel model = open_model(
      untied, cpu_fp32, {.options = {.name = name, .system = "Be brief."}, .given = {.name = true, .system = true}});
  return model;
}

// Labels and a type that asks for them: none of it may reach the other model.
std::vector<Prompt> prompts() {
  Prompt first, second;
  first.json = {{"system", "Be good."}};
  first.conversation = {.system = "Be good.", .turns = {{.from = "User", .value = "Why is the sky blue?"}}};
  second.json = {{"prompt", "x"}};
  second.conversation = {.system = "of the model that is steered",
                         .type = ConversationType::value_to_text,
                         .turns = {{.from = "User", .value = "  Café ☕?\n\nYes"},
                                   {.from = "Assistant", .value = "Schön. ", .label = Label{"quality:4", {4}}},
                                   {.from = "User", .value = "12 and 345"}}};
  return {first, second};
}

const std::vector<std::string_view> responses{"Light is scattered by the air.", "  red\n- blue, ü", "a"};

void expect_equal(TemplateName name, const std::vector<KnownLikelihood>& expected) {
  const OpenModel model = opened(name);
  const std::vector<Prompt> given = prompts();
  std::vector<PromptedResponse> prompted;
  for (const Prompt& prompt : given) {
    for (const std::string_view response : responses) prompted.push_back({&prompt, response});
  }
  const auto found = response_likelihoods(model, prompted);
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    ASSERT_TRUE(found[i]) << i;
    EXPECT_EQ(found[i]->tokens, expected[i].tokens) << i;
    EXPECT_NEAR(found[i]->sum, expected[i].sum, 2e-5 * std::abs(expected[i].sum)) << i;
    EXPECT_DOUBLE_EQ(found[i]->negative_log_likelihood(), -found[i]->sum / expected[i].tokens) << i;
  }
}

TEST(Perplexity, EqualsTransformersInTheTemplateSteerlm) { expect_equal(TemplateName::steerlm, steerlm_likelihoods); }

TEST(Perplexity, EqualsTransformersOnPlainText) { expect_equal(TemplateName::plain, plain_likelihoods); }

TEST(Perplexity, AnEmptyResponseHasNoTokenAndALongOneNoFigure) {
  const OpenModel model = opened(TemplateName::plain);
  const std::vector<Prompt> given = prompts();
  const std::string text(2000, 'x');
  const std::vector<PromptedResponse> prompted{{&given[0], ""}, {&given[0], text}};
  const auto found = response_likelihoods(model, prompted);
  ASSERT_TRUE(found[0]);
  EXPECT_EQ(found[0]->tokens, 0);
  EXPECT_TRUE(std::isnan(found[0]->negative_log_likelihood()));
  EXPECT_FALSE(found[1]);
}

TEST(Perplexity, WhatIsNotFiniteIsTheModelsFault) {
  OpenModel model = opened(TemplateName::plain);
  at::Tensor& weight = model.transformer.weights.norm_d;
  weight = at::full_like(weight, 1e38);
  const std::vector<Prompt> given = prompts();
  try {
    check_perplexity_model(model, given);
    FAIL() << "nothing was refused";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model);
    EXPECT_THAT(error.what(), testing::HasSubstr("untied"));
    EXPECT_THAT(error.what(), testing::HasSubstr("not finite"));
  }
}

TEST(Perplexity, PromptsThatAllAreTooLongAreRefused) {
  const OpenModel model = opened(TemplateName::plain);
  std::vector<Prompt> given = prompts();
  check_perplexity_model(model, given);
  given[0].conversation.turns[0].value.assign(2000, 'x');
  check_perplexity_model(model, given);  // the second one fits
  given.pop_back();
  EXPECT_THROW(check_perplexity_model(model, given), Error);
}

}  // namespace
}  // namespace steerlm
