#include "recipe/without_effect.h"

#include <fmt/format.h>

#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// What is sampled at temperature 0 is the most probable token each time.
void greedy_sampling(const std::string& section, const SamplingOptions& given, const SamplingOptions& defaults,
                     std::int64_t samples, std::vector<std::string>& found) {
  if (given.temperature != 0) return;
  const auto add = [&](const std::string& key) {
    found.push_back(
        fmt::format("{}.{} has no effect: {}.temperature is 0, which takes the most probable token each time", section,
                    key, section));
  };
  if (given.top_k != defaults.top_k) add("top_k");
  if (given.top_p != defaults.top_p) add("top_p");
  if (samples > 1) {
    found.push_back(
        fmt::format("the {} answers to a prompt will be equal: {}.temperature is 0, which takes the most "
                    "probable token each time",
                    samples, section));
  }
}

void bad_share(OnBadRecord on_bad_record, double share, double default_share, std::vector<std::string>& found) {
  if (on_bad_record == OnBadRecord::stop && share != default_share)
    found.push_back("max_bad_share has no effect: on_bad_record is stop, so that the first bad record ends the run");
}

void closed_form(const Yaml& tree, std::vector<std::string>& found) {
  std::vector<std::string> keys;
  for (const char* key : {"optimizer", "schedule", "evaluate", "checkpoint", "train.epochs", "train.steps",
                          "train.batch_size", "train.recompute", "data.shuffle", "data.cache_dir"}) {
    if (find_path(tree, key) != nullptr) keys.emplace_back(key);
  }
  if (!keys.empty()) found.push_back("head.kind: ridge is solved in closed form: without effect are " + join(keys));
}

}  // namespace

std::vector<std::string> keys_without_effect(const Recipe& recipe, const Yaml& tree) {
  const Recipe defaults{.stage = recipe.stage};
  const auto has = [&](std::string_view path) { return find_path(tree, path) != nullptr; };
  std::vector<std::string> found;
  switch (recipe.stage) {
    case Stage::annotate:
      bad_share(recipe.annotate.on_bad_record, recipe.annotate.max_bad_share, defaults.annotate.max_bad_share, found);
      return found;
    case Stage::generate:
      bad_share(recipe.generate.on_bad_record, recipe.generate.max_bad_share, defaults.generate.max_bad_share, found);
      greedy_sampling("sampling", recipe.generate.sampling, defaults.generate.sampling,
                      recipe.generate.samples_per_prompt, found);
      return found;
    case Stage::evaluate:
      if (recipe.dials) greedy_sampling("dials.sampling", recipe.dials->sampling, DialOptions().sampling, 1, found);
      if (!has("data.validation")) {
        const auto add = [&](const std::string& key) {
          found.push_back(key +
                          " has no effect: there is no data.validation; lines of pairs are left out only where a "
                          "response is longer than the predictor's context");
        };
        if (recipe.data.max_tokens != defaults.data.max_tokens) add("data.max_tokens");
        if (recipe.data.over_length != defaults.data.over_length) add("data.over_length");
      }
      return found;
    case Stage::bootstrap:
      if (has("model") && recipe.bootstrap.start_from == StartFrom::policy)
        found.push_back("model has no effect: start_from is policy");
      if (has("data.train") && !recipe.bootstrap.mix_original)
        found.push_back("data.train has no effect: mix_original is false");
      greedy_sampling("sampling", recipe.bootstrap.sampling, defaults.bootstrap.sampling,
                      recipe.bootstrap.samples_per_prompt, found);
      break;
    case Stage::steerlm2:
      if (has("prompts")) {
        greedy_sampling("sampling", recipe.steerlm2.sampling, defaults.steerlm2.sampling,
                        recipe.steerlm2.samples_per_prompt, found);
        break;
      }
      for (const char* key : {"prior", "predictor", "max_prompts", "set", "samples_per_prompt", "sampling", "beta",
                              "batch_tokens", "iterations"}) {
        if (has(key))
          found.push_back(std::string(key) + " has no effect: data.train has the responses, weighed already");
      }
      break;
    case Stage::sft:
      break;
    case Stage::train_predictor:  // crossvalidate holds out what a recipe does not: its validation is not looked for
      if (recipe.head.kind == PredictorKind::ridge) closed_form(tree, found);
      bad_share(recipe.bad_records.on_bad_record, recipe.bad_records.max_bad_share, defaults.bad_records.max_bad_share,
                found);
      return found;
    case Stage::tokenizer:
    case Stage::pipeline:
      return found;
  }
  bad_share(recipe.bad_records.on_bad_record, recipe.bad_records.max_bad_share, defaults.bad_records.max_bad_share,
            found);
  const bool validates = has("data.validation") || has("data.fold") || recipe.data.validation_fraction > 0;
  if (recipe.evaluate.every_steps > 0 && !validates)
    found.push_back("evaluate.every_steps has no effect: there is no validation data");
  return found;
}

}  // namespace steerlm
