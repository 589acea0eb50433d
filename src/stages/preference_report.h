// How often a predictor scores the better of two responses higher: validation of a pairwise loss, and `pairs` of
// `evaluate`.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/preference.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/report/metrics.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// The weights of a reward, one a name: those that are given, 0 for the others; where none is given 1 for helpfulness,
// else for the first name. Throws recipe for a name that is not there; `key`: where they are given.
std::vector<double> reward_weights(const std::vector<std::string>& names, const std::map<std::string, double>& given,
                                   const std::string& key);
// "0.65 helpfulness + 0.8 correctness - 0.4 verbosity"
std::string describe_reward(const std::vector<std::string>& names, const std::vector<double>& weights);

// preference_metrics of pairs of examples side by side, the better one first. Throws diverged where a score is not
// finite.
Metrics validate_preferences(const Transformer& model, const ExampleSet& pairs, HeadLoss loss,
                             const std::vector<double>& weights, std::int64_t batch_tokens);

struct PreferenceReport {
  std::string text;
  Json json;
};
// Accuracy over all pairs and over each subset with a 95 % bootstrap interval; a tie counts as wrong, as in
// RewardBench. Where the file is of RewardBench 1 or 2, their scores. Responses over the context are left out with
// their line, which is a warning. Throws data where no line can be counted, model where a score is not finite.
// Nothing where `go_on`, which is asked after each batch, says no.
std::optional<PreferenceReport> report_preferences(const OpenModel& predictor, std::span<const Preference> preferences,
                                                   const std::vector<double>& weights, std::uint64_t seed,
                                                   const Context& context, const std::function<bool()>& go_on);

// Throws as report_preferences where no line can be counted, before a score is computed.
void check_countable(const OpenModel& predictor, std::span<const Preference> preferences);

// All of the sources. Throws data where there is none, and for a row of the subset Ties that has no part in its score.
std::vector<Preference> read_preferences(const std::vector<SourceOptions>& sources, const std::string& system);

}  // namespace steerlm
