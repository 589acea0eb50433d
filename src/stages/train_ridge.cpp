// A regression head that is solved on the frozen model instead of trained: linear probing, as ArmoRM does for its
// attributes (Wang et al. 2024, arXiv 2406.12845, section 3.1).
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "stages/bad_records.h"
#include "stages/features.h"
#include "stages/predictor_report.h"
#include "stages/train.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/split.h"
#include "steerlm/hf/dtype.h"
#include "steerlm/kernels/device.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/ridge.h"

namespace steerlm {
namespace {

constexpr const char* no_choice =
    "its labels are all in one part of the dialogues, which leaves none to choose a "
    "penalty by: it is predicted by its mean";

// Labels of the examples, (n, a) fp64, NaN unknown.
at::Tensor label_matrix(std::span<const Example> examples, size_t attributes) {
  const std::vector<float> labels = label_rows(examples);
  return to_device(std::vector<double>(labels.begin(), labels.end()), at::kCPU)
      .view({static_cast<std::int64_t>(examples.size()), static_cast<std::int64_t>(attributes)});
}

// Throws data for attributes that nobody rated: there is nothing to predict them by.
void require_labels(const std::vector<double>& means, const Recipe& recipe, const std::vector<std::string>& names) {
  std::vector<std::string> unrated;
  for (size_t a = 0; a < names.size(); ++a) {
    if (std::isnan(means[a])) unrated.push_back(names[a]);
  }
  if (unrated.empty()) return;
  fail(ExitCode::data, {.what = "no label of the training part has a value of " + join(unrated),
                        .where = recipe.data.train.front().path,
                        .expected = "a value of each attribute in at least one label",
                        .advice = "leave these attributes out of attributes.names, or add data that rates them"});
}

// One row an attribute: what the fit had, what it chose, and by what.
std::string fit_table(const std::vector<std::string>& names, const RidgeFit& fit, std::span<const double> penalties) {
  std::vector<std::vector<std::string>> rows{{"attribute", "labels", "mean", "penalty", "held-out RMSE"}};
  for (size_t a = 0; a < names.size(); ++a) {
    const RidgeTarget& target = fit.targets[a];
    const bool chosen = !target.errors_p.empty();
    double error = std::nan("");
    for (size_t p = 0; p < target.errors_p.size(); ++p) {
      if (penalties[p] == target.penalty) error = std::sqrt(target.errors_p[p]);
    }
    rows.push_back({names[a], format_count(target.rows), format_number(target.mean, 3),
                    chosen ? fmt::format("{:g}", target.penalty) : "-", format_number(error, 3)});
  }
  return format_table(rows);
}

Json fit_json(const std::vector<std::string>& names, const RidgeFit& fit, const PredictorOptions& options) {
  Json json{{"penalties", options.penalties}, {"penalty_folds", options.penalty_folds}, {"attributes", Json::object()}};
  for (size_t a = 0; a < names.size(); ++a) {
    const RidgeTarget& target = fit.targets[a];
    json["attributes"][names[a]] = {{"labels", target.rows},
                                    {"mean", target.mean},
                                    {"penalty", std::isnan(target.penalty) ? Json(nullptr) : Json(target.penalty)},
                                    {"held_out_squared_errors", target.errors_p}};
  }
  return json;
}

// The rated answers of the held-out records.
struct HeldOut {
  std::vector<Record> records;
  std::vector<RecordPrediction> predictions;  // one a record, the scores of their turns still empty
  std::vector<Example> inputs;                // of these turns, in their order
};
HeldOut hold_out(std::vector<Record> records, const ConversationTemplate& conversation_template,
                 std::int64_t context_length) {
  HeldOut held_out{std::move(records), {}, {}};
  for (const Record& record : held_out.records) {
    RecordPrediction& prediction = held_out.predictions.emplace_back();
    std::vector<Example> inputs;
    for (size_t t = 0; t < record.conversation.turns.size(); ++t) {
      const Turn& turn = record.conversation.turns[t];
      if (turn.from != "Assistant" || !is_rated(turn)) continue;
      inputs.push_back(scored_example(conversation_template.encode_scored_turn(record.conversation, t)));
      prediction.turns.push_back({t, {}, {}});
      if (static_cast<std::int64_t>(inputs.back().ids.size()) > context_length)
        prediction = {{}, "longer than the model's context"};
      if (!prediction.fault.empty()) break;
    }
    if (prediction.fault.empty()) std::ranges::move(inputs, std::back_inserter(held_out.inputs));
  }
  return held_out;
}

// Scores of the held-out answers by the head that `model` has, as predict_records would give them.
void score(HeldOut& held_out, const Transformer& model, const at::Tensor& features_md) {
  const at::Tensor scores_ma = to_host(attribute_scores(model, features_md.to(model.device()))).contiguous();
  const float* row = scores_ma.const_data_ptr<float>();
  for (RecordPrediction& prediction : held_out.predictions) {
    for (TurnScores& turn : prediction.turns) {
      turn.scores.assign(row, row + scores_ma.size(1));
      row += scores_ma.size(1);
    }
  }
}

}  // namespace

Outcome run_ridge_predictor(const Recipe& recipe, const Context& context) {
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);

  BaseModel base = open_base_model(recipe, recipe.head.model_head());
  warn_notes(base.notes, context);
  tell_template(base.folder, context);
  const Attributes attributes = make_attributes(base.folder.attributes);
  const std::vector<std::string>& names = attributes.names;
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const DataOptions data = within_context(recipe.data, base.folder.config, context);
  const Dataset dataset = load_dataset(data, attributes, conversation_template, Objective::regression,
                                       recipe.bad_records.on_bad_record == OnBadRecord::quarantine);
  check_bad_records(dataset, recipe);
  report_dataset(dataset, recipe, context);
  const std::vector<double> means = label_means(dataset.train_counts);
  require_labels(means, recipe, names);
  HeldOut held_out;
  if (!dataset.validation.empty())
    held_out = hold_out(
        validation_records(attributes, base.folder.text_template.system, data, recipe.bad_records.on_bad_record),
        conversation_template, base.folder.config.context_length());
  std::vector<Example> inputs = dataset.train.read_all();
  inputs.insert(inputs.end(), held_out.inputs.begin(), held_out.inputs.end());
  const Path folder = Path(recipe.head.features.empty() ? recipe.run_dir + "/features" : recipe.head.features);
  check_features_folder(folder);
  if (context.dry_run) {
    report_features_forecast(recipe, base, inputs, context);
    return Outcome::done;
  }

  run->start();
  write_quarantine(*run, dataset, recipe.data, context);
  const Computing computing = computing_of(recipe);
  if (recipe.head.features.empty()) run->files().enter_run("features");
  context.log->info("computes on " + device_name(computing.device) + " in " +
                    std::string(enum_name(computing.precision)));
  const std::int64_t batch_tokens =
      recipe.train.micro_batch_tokens > 0 ? recipe.train.micro_batch_tokens : default_batch_tokens;
  Transformer transformer = make_transformer(base.folder.config, base.weights, computing,
                                             recipe.model.path.empty() ? "model.init" : recipe.model.path);
  const auto features_nd = frozen_features(transformer, recipe.head.pooling, inputs, folder, batch_tokens,
                                           recipe.train.max_minutes, context);
  if (!features_nd) return Outcome::stopped;
  const std::int64_t trained = static_cast<std::int64_t>(dataset.train.size());

  const std::span<const Example> rated(inputs.data(), dataset.train.size());
  std::vector<std::uint64_t> dialogues;
  for (const Example& example : rated) dialogues.push_back(example.dialogue);
  const RidgeFit fit = fit_ridge(features_nd->slice(0, 0, trained), label_matrix(rated, names.size()),
                                 dialogue_folds(dialogues, recipe.head.penalty_folds), recipe.head.penalties);
  for (size_t a = 0; a < names.size(); ++a) {
    if (fit.targets[a].errors_p.empty()) context.log->warn(names[a] + ": " + no_choice);
  }
  context.log->info("ridge regression of " + format_count(features_nd->size(1)) + " features\n" +
                    fit_table(names, fit, recipe.head.penalties));
  run->files().write("ridge.json", fit_json(names, fit, recipe.head).dump(2) + "\n");

  base.folder.head.bias = true;  // also where the score that the folder had has none
  // As it will be read from the folder, in whose dtype it is written.
  const auto as_written = [&](const at::Tensor& tensor) {
    return tensor.to(scalar_type(base.folder.dtype)).to(at::kFloat);
  };
  base.weights.score_ad = as_written(fit.weight_ad);
  base.weights.score_bias_a = as_written(fit.bias_a);
  Metrics metrics;
  if (!dataset.validation.empty()) {
    transformer.weights.score_ad = base.weights.score_ad.to(computing.device);
    transformer.weights.score_bias_a = base.weights.score_bias_a.to(computing.device);
    score(held_out, transformer, features_nd->slice(0, trained));
    const PredictorReport report =
        report_predictions(attributes, held_out.records, held_out.predictions, means, context);
    context.log->info("validation of the predictor\n" + report.table);
    run->files().write("validation.jsonl", report.lines);
    metrics = regression_metrics(report.metrics);
  }
  const ModelCard card{.predictor = true,
                       .ridge = true,
                       .base_model = recipe.model.path,
                       .bad = static_cast<std::int64_t>(dataset.bad.size()),
                       .training = card_part(dataset.train_counts),
                       .validation = card_part(dataset.validation_counts),
                       .metrics = metrics};
  run->files().write_folder("model", true, [&](const Path& part) {
    write_model_folder(part, base.folder, to_named_tensors(base.weights), base.tokenizer, default_max_shard_bytes,
                       card);
  });
  Json summary = {{"bad", dataset.bad.size()}};
  add_metrics(summary, metrics);
  add_training_means(summary, names, means);
  finish_training(*run, summary, context);
  return Outcome::done;
}

}  // namespace steerlm
