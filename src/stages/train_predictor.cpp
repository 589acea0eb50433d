// Stage 1, the attribute predictor: a linear head on the last token (HelpSteer section 4.4), or a language model that writes the label
// (SteerLM section 3.1).
#include <cmath>
#include <optional>

#include "stages/predictor_report.h"
#include "stages/train.h"
#include "steerlm/infer/score.h"
#include "steerlm/stages/stages.h"
#include "steerlm/train/losses.h"

namespace steerlm {
namespace {

// Labels of all examples, (n, a) row-major.
std::vector<float> all_labels(const std::vector<Example>& examples) {
  std::vector<float> labels;
  for (const Example& example : examples) labels.insert(labels.end(), example.labels.begin(), example.labels.end());
  return labels;
}

Metrics validate_regression(const Transformer& model, const std::vector<Example>& examples, const Attributes& attributes,
                            const std::vector<double>& baseline, std::int64_t batch_tokens) {
  std::vector<double> scores;
  double sum = 0, count = 0;
  const auto rows = attribute_scores(model, std::span<const Example>(examples), batch_tokens);
  for (size_t i = 0; i < rows.size(); ++i) {
    for (size_t a = 0; a < rows[i].size(); ++a) {
      const double score = static_cast<double>(rows[i][a]);
      scores.push_back(score);
      if (std::isnan(examples[i].labels[a])) continue;
      sum += std::pow(score - static_cast<double>(examples[i].labels[a]), 2);
      count += 1;
    }
  }
  Metrics metrics{{"validation/loss", sum / count}};
  append_predictor_metrics(metrics, predictor_metrics(attributes.names, attributes.min, attributes.max, scores, all_labels(examples), baseline));
  return metrics;
}

}  // namespace

Outcome run_train_predictor(const Recipe& recipe, const Context& context) {
  std::optional<RunDirectory> run;
  if (!context.dry_run) run.emplace(recipe, context);
  if (run && is_done_already(*run, context)) return Outcome::done;

  BaseModel base = open_base_model(recipe, recipe.head);
  const Attributes attributes = make_attributes(base.folder.attributes);
  const ConversationTemplate conversation_template(base.folder.text_template, base.tokenizer);
  const bool regression = recipe.head.kind == HeadKind::regression;
  const Dataset dataset = load_dataset(recipe.data, attributes, conversation_template, regression ? Objective::regression : Objective::label);
  report_dataset(dataset, recipe, context);
  if (context.dry_run) {
    report_forecast(recipe, base, dataset, context);
    return Outcome::done;
  }

  FitTask task;
  task.examples = &dataset.train;
  const std::vector<double> baseline = regression ? label_means(attributes.names.size(), all_labels(dataset.train)) : std::vector<double>();
  if (regression) {
    task.count = [](const Example& example) { return label_count(example); };
    task.gradient = regression_gradient;
    task.validate = [&](const Transformer& model) {
      return validate_regression(model, dataset.validation, attributes, baseline, recipe.train.micro_batch_tokens);
    };
  } else {
    task.count = [](const Example& example) { return target_count(example); };
    task.gradient = language_model_gradient;
    task.validate = [&](const Transformer& model) {
      return validate_language_model(model, dataset.validation, recipe.train.micro_batch_tokens);
    };
  }
  if (dataset.validation.empty()) task.validate = nullptr;
  const ModelFolder folder = base.folder;
  if (train_and_publish(recipe, *run, std::move(base), task, context) == Outcome::stopped) return Outcome::stopped;

  // The table beside the predict-the-mean baseline, from the model as it was written.
  if (!recipe.data.validation.empty() || recipe.data.validation_fraction > 0) {
    const OpenModel model = open_model(run->model(), recipe.precision);
    const PredictorReport report = evaluate_predictor(model, recipe.data, baseline, context);
    if (report.rows > 0) context.log->info("validation of the predictor\n" + report.table);
  }
  return Outcome::done;
}

}  // namespace steerlm
