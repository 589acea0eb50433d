// What the two training stages share around the loop.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>

#include "stages/fit.h"
#include "steerlm/data/dataset.h"
#include "steerlm/hf/model_card.h"
#include "steerlm/stages/base_model.h"

namespace steerlm {

// The data options with max_tokens at most the model's context, which is said where it changes anything.
DataOptions within_context(DataOptions data, const ModelConfig& config, const Context& context);

// Says what was read; throws data where nothing is left to train on. A validation part that was asked for and is empty
// is a warning.
void report_dataset(const Dataset& dataset, const Recipe& recipe, const Context& context);

// Throws recipe: 'checkpoint.keep_best' has a validation part that is empty.
[[noreturn]] void refuse_empty_validation();

// Of a stage that trains on answers which it samples, before it does. data.validation_fraction holds them out by the
// dialogues of their prompts (Record::dialogue): throws as the training would where one of the two parts gets none.
void check_split(const Recipe& recipe, std::span<const std::string> dialogues);

// --dry-run: steps, time, memory.
void report_forecast(const Recipe& recipe, const BaseModel& base, const Dataset& dataset, const Context& context);

// language_model_metrics of the validation examples. Throws `not_finite` where the loss is not finite. Nothing where
// `go_on`, which is asked before each batch, says no.
Metrics validate_language_model(const Transformer& model, const ExampleSet& examples, std::int64_t batch_tokens,
                                ExitCode not_finite, const std::function<bool()>& go_on = {});

// --dry-run of a head that is solved on the frozen model: tokens and time.
void report_features_forecast(const Recipe& recipe, const BaseModel& base, const std::vector<Example>& inputs,
                              const Context& context);

// What a model card tells of a part of the data.
ModelCard::Part card_part(const DatasetCounts& counts);
// Puts metrics into what done.json says; one that is not finite is null.
void add_metrics(Json& summary, const Metrics& metrics);

// Trains and writes model/; `dataset` is what its card tells of the data. Returns what done.json is to say; nothing
// where the training was stopped.
std::optional<Json> train_and_write(const Recipe& recipe, RunDirectory& run, BaseModel base, const Dataset& dataset,
                                    const FitTask& task, const Context& context);
// model/ of a stage with several steps: a copy of the last one's, so that a run directory always has one in the same
// place.
void copy_model(RunDirectory& run, const Path& from);
// The end of a training run: done.json, and where the model is.
void finish_training(RunDirectory& run, const Json& summary, const Context& context);

// head.kind: ridge of train-predictor.
Outcome run_ridge_predictor(const Recipe& recipe, const Context& context);

}  // namespace steerlm
