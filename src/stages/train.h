// What the two training stages share around the loop.
#pragma once

#include "stages/fit.h"
#include "steerlm/data/dataset.h"
#include "steerlm/stages/base_model.h"

namespace steerlm {

// The data options with max_tokens at most the model's context, which is said where it changes anything.
DataOptions within_context(DataOptions data, const ModelConfig& config, const Context& context);

// Says what was read; throws data where nothing is left to train on. A validation part that was asked for and is empty
// is a warning.
void report_dataset(const Dataset& dataset, const Recipe& recipe, const Context& context);

// --dry-run: steps, time, memory.
void report_forecast(const Recipe& recipe, const BaseModel& base, const Dataset& dataset, const Context& context);

// Mean negative log-likelihood of the validation examples: {"validation/loss", "validation/perplexity"}. Throws
// `not_finite` where it is not finite.
Metrics validate_language_model(const Transformer& model, const std::vector<Example>& examples,
                                std::int64_t batch_tokens, ExitCode not_finite);

// keep_best's metric is one that the validation of this recipe's training will have; throws recipe, with those that
// there are. A mode that keeps the worst weights is a warning.
void check_keep_best(const Recipe& recipe, const Context& context);

// Trains and writes model/; `dataset` is what its card tells of the data.
Outcome train_and_publish(const Recipe& recipe, RunDirectory& run, BaseModel base, const Dataset& dataset,
                          const FitTask& task, const Context& context);

}  // namespace steerlm
