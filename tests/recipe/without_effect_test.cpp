// Keys that a recipe gives and that its other keys make nothing of: contracts.md section 3.
#include <gmock/gmock.h>

#include "recipe/recipe_support.h"

namespace steerlm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

std::vector<std::string> idle(const std::string& text) { return load(text).without_effect; }

const std::string responses = "stage: steerlm2\nrun_dir: r\npolicy: m\ndata: {train: a}\n";

TEST(WithoutEffect, OfSteerlm2WhereTheResponsesAreThere) {
  EXPECT_THAT(idle(responses), IsEmpty());
  EXPECT_THAT(idle(responses + "iterations: 2\nset: {foo: 1}\nprior: p\n"),
              ElementsAre("prior has no effect: data.train has the responses, weighed already",
                          "set has no effect: data.train has the responses, weighed already",
                          "iterations has no effect: data.train has the responses, weighed already"));
  for (const std::string key : {"predictor: p", "max_prompts: 3", "samples_per_prompt: 4", "sampling: {top_k: 3}",
                                "beta: {edges: half}", "batch_tokens: 7"}) {
    EXPECT_EQ(idle(responses + key + "\n").size(), 1u) << key;
    EXPECT_THAT(idle(smallest(Stage::steerlm2) + (key == "predictor: p" ? "" : key + "\n")), IsEmpty()) << key;
  }
}

TEST(WithoutEffect, OfBootstrap) {
  const std::string bootstrap = smallest(Stage::bootstrap);
  EXPECT_THAT(
      idle(bootstrap + "model: {path: b}\ndata: {train: [a]}\n"),
      ElementsAre("model has no effect: start_from is policy", "data.train has no effect: mix_original is false"));
  EXPECT_THAT(idle(bootstrap + "start_from: base\nmodel: {path: b}\nmix_original: true\ndata: {train: [a]}\n"),
              IsEmpty());
}

TEST(WithoutEffect, OfBadRecordsAndOfValidation) {
  const std::string share =
      "max_bad_share has no effect: on_bad_record is stop, so that the first bad record ends the run";
  for (const Stage stage :
       {Stage::sft, Stage::train_predictor, Stage::bootstrap, Stage::steerlm2, Stage::annotate, Stage::generate}) {
    const std::string recipe = smallest(stage) + "max_bad_share: 0.5\n";
    EXPECT_THAT(idle(recipe + "on_bad_record: stop\n"), ElementsAre(share));
    EXPECT_THAT(idle(recipe + "on_bad_record: quarantine\n"), IsEmpty());
  }
  const std::string every = "evaluate: {every_steps: 5}\n";
  for (const Stage stage : {Stage::sft, Stage::bootstrap, Stage::steerlm2}) {
    EXPECT_THAT(idle(smallest(stage) + every),
                ElementsAre("evaluate.every_steps has no effect: there is no validation data"));
  }
  EXPECT_THAT(idle("stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a, validation: b}\n" + every), IsEmpty());
  EXPECT_THAT(idle("stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a, validation_fraction: 0.1}\n" + every),
              IsEmpty());
  EXPECT_THAT(idle("stage: sft\nrun_dir: r\nmodel: m\ndata: {train: a, fold: 1/5}\n" + every), IsEmpty());
}

TEST(WithoutEffect, OfGreedySampling) {
  for (const Stage stage : {Stage::generate, Stage::bootstrap}) {
    EXPECT_THAT(idle(smallest(stage) + "sampling: {temperature: 0, top_k: 3, top_p: 0.5}\n").size(), 2u);
    EXPECT_THAT(idle(smallest(stage) + "sampling: {temperature: 0}\nsamples_per_prompt: 3\n"),
                ElementsAre("the 3 answers to a prompt will be equal: sampling.temperature is 0, which takes the most "
                            "probable token each time"));
    EXPECT_THAT(idle(smallest(stage) + "sampling: {temperature: 1, top_k: 3}\nsamples_per_prompt: 3\n"), IsEmpty());
  }
  EXPECT_THAT(
      idle(smallest(Stage::evaluate) + "model: m\ndials: {prompts: a, sampling: {temperature: 0, top_p: 0.5}}\n"),
      ElementsAre("dials.sampling.top_p has no effect: dials.sampling.temperature is 0, which takes the most "
                  "probable token each time"));
}

TEST(WithoutEffect, OfPairsAlone) {
  const std::string pairs = "stage: evaluate\nrun_dir: r\npredictor: p\npairs: {sources: a}\n";
  EXPECT_THAT(
      idle(pairs + "data: {max_tokens: 100, over_length: error}\n"),
      ElementsAre("data.max_tokens has no effect: there is no data.validation; lines of pairs are left out only "
                  "where a response is longer than the predictor's context",
                  "data.over_length has no effect: there is no data.validation; lines of pairs are left out "
                  "only where a response is longer than the predictor's context"));
  EXPECT_THAT(idle(pairs + "data: {max_tokens: 100, validation: v}\n"), IsEmpty());
  EXPECT_THAT(load_recipe_text(dump_recipe(load(pairs)), "dump").without_effect, IsEmpty());
}

// The recipe of a step names all keys, which nobody has given.
TEST(WithoutEffect, NothingOfTheResolvedRecipe) {
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    if (stage == Stage::pipeline) continue;
    EXPECT_THAT(load_recipe_text(dump_recipe(load(smallest(stage))), "dump").without_effect, IsEmpty()) << name;
  }
  EXPECT_THAT(load_recipe_text(dump_recipe(load(responses + "iterations: 3\n")), "dump").without_effect, IsEmpty());
}

}  // namespace
}  // namespace steerlm
