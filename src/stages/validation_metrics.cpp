#include "stages/validation_metrics.h"

#include <fmt/format.h>

#include <cmath>
#include <string>

#include "steerlm/core/suggest.h"
#include "steerlm/data/split.h"

namespace steerlm {
namespace {

constexpr const char* keep_best_key = "checkpoint.keep_best.metric";

double mean_squared_error(const std::vector<AttributeMetrics>& rows) {
  double sum = 0, count = 0;
  for (const AttributeMetrics& row : rows) {
    if (row.count == 0) continue;
    sum += static_cast<double>(row.count) * row.rmse * row.rmse;
    count += static_cast<double>(row.count);
  }
  return sum / count;
}

// What the validation of the recipe's training will measure; of the values none is known yet.
Metrics coming_metrics(const Recipe& recipe) {
  if (recipe.stage == Stage::steerlm2) return response_metrics(0, 0);
  if (recipe.stage != Stage::train_predictor) return language_model_metrics(0);
  if (is_pairwise(recipe.head.loss)) return preference_metrics(0, 0);
  std::vector<AttributeMetrics> rows;
  for (const std::string& name : recipe.attributes.names) rows.push_back({.name = name});
  if (recipe.head.kind != PredictorKind::language_model) return regression_metrics(rows);
  Metrics metrics = language_model_metrics(0);
  append_predictor_metrics(metrics, rows);
  return metrics;
}

}  // namespace

Metrics language_model_metrics(double loss) {
  return {{"validation/loss", loss}, {"validation/perplexity", std::exp(loss)}};
}

Metrics preference_metrics(double loss, double pairwise_accuracy) {
  return {{"validation/loss", loss}, {"validation/pairwise_accuracy", pairwise_accuracy}};
}

Metrics response_metrics(double loss, double distance) {
  return {{"validation/loss", loss}, {"validation/distance", distance}};
}

Metrics regression_metrics(const std::vector<AttributeMetrics>& rows) {
  Metrics metrics{{"validation/loss", mean_squared_error(rows)}};
  append_predictor_metrics(metrics, rows);
  return metrics;
}

void append_predictor_metrics(Metrics& metrics, const std::vector<AttributeMetrics>& rows) {
  for (const AttributeMetrics& row : rows) {
    metrics.emplace_back("validation/mae/" + row.name, row.mae);
    metrics.emplace_back("validation/rmse/" + row.name, row.rmse);
    metrics.emplace_back("validation/pearson/" + row.name, row.pearson);
    metrics.emplace_back("validation/spearman/" + row.name, row.spearman);
    metrics.emplace_back("validation/exact/" + row.name, row.exact);
    metrics.emplace_back("validation/within_one/" + row.name, row.within_one);
    metrics.emplace_back("validation/kappa/" + row.name, row.kappa);
  }
}

double kept_metric(const KeepBestOptions& keep_best, const Metrics& validation) {
  std::vector<std::string> names;
  for (const auto& [name, value] : validation) {
    if (name == keep_best.metric) return value;
    names.push_back(name);
  }
  fail(ExitCode::recipe, {.what = "validation has no metric of this name",
                          .where = keep_best_key,
                          .found = "'" + keep_best.metric + "'",
                          .expected = join(names),
                          .advice = suggest(keep_best.metric, names)});
}

void check_keep_best(const Recipe& recipe, const Context& context) {
  const auto& keep_best = recipe.checkpoint.keep_best;
  if (!keep_best) return;
  kept_metric(*keep_best, coming_metrics(recipe));
  if (recipe.data.validation.empty() && !holds_out(recipe.data)) {
    fail(ExitCode::recipe, {.what = "'checkpoint.keep_best' needs validation data",
                            .where = keep_best_key,
                            .advice = "give data.validation or data.validation_fraction"});
  }
  for (const char* growing : {"/pearson/", "/spearman/", "/exact/", "/within_one/", "/kappa/", "/pairwise_accuracy"}) {
    if (keep_best->mode == MetricMode::min && keep_best->metric.find(growing) != std::string::npos)
      context.log->warn(fmt::format(
          "checkpoint.keep_best keeps the smallest {}: larger is better, which mode: max keeps", keep_best->metric));
  }
}

}  // namespace steerlm
