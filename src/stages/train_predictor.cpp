// Stage 1, the attribute predictor: a linear head on the last token (HelpSteer section 4.4), or a language model that
// writes the label (SteerLM section 3.1). The head learns from labels, or from preferences between responses.
#include <optional>

#include "stages/encoded_data.h"
#include "stages/predictor_report.h"
#include "stages/preference_report.h"
#include "stages/train.h"
#include "stages/validation_metrics.h"
#include "steerlm/infer/label_decoder.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/losses.h"

namespace steerlm {

Outcome run_train_predictor(const Recipe& recipe, const Context& context) {
  if (recipe.head.kind == PredictorKind::ridge) return run_ridge_predictor(recipe, context);
  check_keep_best(recipe, context);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;

  warn_notes(recipe.without_effect, context);
  BaseModel base = open_base_model(recipe, recipe.head.model_head());
  warn_notes(base.notes, context);
  tell_template(base.folder, context);
  const Attributes attributes = make_attributes(base.folder.attributes);
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const bool regression = recipe.head.kind == PredictorKind::regression, pairwise = is_pairwise(recipe.head.loss);
  if (recipe.head.kind == PredictorKind::language_model)
    check_label_values(base.tokenizer, attributes, ExitCode::recipe);
  const DataOptions data = within_context(recipe.data, base.folder.config, context);
  const std::vector<double> weights =
      pairwise ? reward_weights(attributes.names, recipe.head.attribute_weights, "head.attribute_weights")
               : std::vector<double>();
  const std::string objective = pairwise ? "preference" : regression ? "regression" : "label";
  std::optional<EncodedData> encoded = open_data(
      recipe, {objective, data, attributes, conversation_template, base.tokenizer}, run ? &*run : nullptr,
      [&](DatasetBuilder& builder) {
        if (pairwise) return encode_preferences(data, conversation_template, builder);
        return encode_conversations(data, attributes, conversation_template,
                                    regression ? Objective::regression : Objective::label, builder);
      },
      context);
  if (!encoded) return Outcome::stopped;
  const Dataset& dataset = encoded->dataset;
  if (pairwise) context.log->info("reward: " + describe_reward(attributes.names, weights));
  report_dataset(dataset, recipe, context);
  if (context.dry_run) {
    report_forecast(recipe, base, dataset, context);
    return Outcome::done;
  }

  run->start();
  encoded->keep(recipe, *run, context);
  const bool validates = !dataset.validation.empty();
  if (pairwise) {
    FitTask task{.examples = &dataset.train,
                 .loss = pairwise_objective(recipe.head.loss, weights),
                 .validation_tokens = dataset.validation_counts.tokens};
    if (validates) {
      task.validate = [&](const Transformer& transformer, std::int64_t batch_tokens) {
        return validate_preferences(transformer, dataset.validation, recipe.head.loss, weights, batch_tokens);
      };
    }
    const std::optional<Json> summary = train_and_write(recipe, *run, std::move(base), dataset, task, context);
    if (!summary) return Outcome::stopped;
    finish_training(*run, *summary, context);
    return Outcome::done;
  }
  const std::vector<Record> held_out = validates ? validation_records(attributes, base.folder.text_template.system,
                                                                      data, recipe.bad_records.on_bad_record)
                                                 : std::vector<Record>();
  const std::vector<double> baseline = label_means(dataset.train_counts);

  FitTask task;
  task.examples = &dataset.train;
  task.loss = regression ? regression_objective : language_model_objective;
  task.validate = [&, folder = base.folder, tokenizer = base.tokenizer](const Transformer& transformer,
                                                                        std::int64_t batch_tokens) {
    const PredictorReport report =
        report_predictor({folder, attributes, tokenizer, transformer}, held_out, baseline, context);
    Metrics metrics;
    if (regression) {
      metrics = regression_metrics(report.metrics);
    } else {
      metrics = validate_language_model(transformer, dataset.validation, batch_tokens, ExitCode::diverged);
      append_predictor_metrics(metrics, report.metrics);
    }
    std::string line = "Pearson:";
    for (const AttributeMetrics& row : report.metrics) line += "  " + row.name + " " + format_number(row.pearson, 3);
    context.log->info(line);
    return metrics;
  };
  if (!validates) task.validate = nullptr;
  task.validation_tokens = dataset.validation_counts.tokens;
  std::optional<Json> summary = train_and_write(recipe, *run, std::move(base), dataset, task, context);
  if (!summary) return Outcome::stopped;

  // The table beside the predict-the-mean baseline, from the model as it was written.
  if (validates) {
    const PredictorReport report =
        report_predictor(open_model(run->model(), computing_of(recipe)), held_out, baseline, context);
    context.log->info("validation of the predictor\n" + report.table);
    run->files().write("validation.jsonl", report.lines);
  }
  add_training_means(*summary, attributes.names, baseline);
  finish_training(*run, *summary, context);
  return Outcome::done;
}

}  // namespace steerlm
