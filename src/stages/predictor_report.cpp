#include "stages/predictor_report.h"

#include <cmath>
#include <limits>

#include "steerlm/data/record_reader.h"
#include "steerlm/data/split.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr std::int64_t batch_tokens = 16384;

Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

Json to_json(const AttributeMetrics& row) {
  return {{"count", row.count},
          {"mae", number_or_null(row.mae)},
          {"rmse", number_or_null(row.rmse)},
          {"pearson", number_or_null(row.pearson)},
          {"exact", number_or_null(row.exact)},
          {"within_one", number_or_null(row.within_one)},
          {"kappa", number_or_null(row.kappa)},
          {"mean_mae", number_or_null(row.mean_mae)},
          {"mean_rmse", number_or_null(row.mean_rmse)}};
}

}  // namespace

void append_predictor_metrics(Metrics& metrics, const std::vector<AttributeMetrics>& rows) {
  for (const AttributeMetrics& row : rows) {
    metrics.emplace_back("validation/mae/" + row.name, row.mae);
    metrics.emplace_back("validation/rmse/" + row.name, row.rmse);
    metrics.emplace_back("validation/pearson/" + row.name, row.pearson);
    metrics.emplace_back("validation/exact/" + row.name, row.exact);
    metrics.emplace_back("validation/within_one/" + row.name, row.within_one);
    metrics.emplace_back("validation/kappa/" + row.name, row.kappa);
  }
}

std::vector<Record> validation_records(const Attributes& attributes, const std::string& system,
                                       const DataOptions& data) {
  if (!data.validation.empty()) return read_records(data.validation, attributes, system);
  std::vector<Record> records = read_records(data.train, attributes, system);
  std::erase_if(records,
                [&](const Record& record) { return !is_validation(record.dialogue, data.validation_fraction); });
  return records;
}

PredictorReport report_predictor(const OpenModel& predictor, std::span<const Record> records,
                                 const std::vector<double>& baseline, const Context& context) {
  require_predictor(predictor.folder);
  const std::vector<RecordPrediction> predictions = predict_records(predictor, records, batch_tokens);
  PredictorReport report;
  std::vector<double> scores;
  std::vector<float> labels;
  for (size_t r = 0; r < records.size(); ++r) {
    if (!predictions[r].fault.empty()) {
      ++report.skipped;
      continue;
    }
    for (const TurnScores& turn : predictions[r].turns) {
      const Turn& own = records[r].conversation.turns[turn.turn];
      const auto& label = own.label;
      if (!label || label->values.empty() || own.context_only) continue;
      ++report.rows;
      labels.insert(labels.end(), label->values.begin(), label->values.end());
      for (float score : turn.scores) scores.push_back(static_cast<double>(score));
    }
  }
  if (report.skipped > 0)
    context.log->warn(std::to_string(report.skipped) +
                      " validation records are longer than the predictor's context and were left out");
  if (report.rows == 0) context.log->warn("no validation record has a labelled assistant turn");
  const Attributes& attributes = predictor.attributes;
  report.metrics = predictor_metrics(attributes.names, attributes.min, attributes.max, scores, labels, baseline);
  std::vector<std::vector<std::string>> rows{
      {"attribute", "count", "MAE", "RMSE", "Pearson", "exact", "within 1", "kappa", "mean MAE", "mean RMSE"}};
  for (const AttributeMetrics& m : report.metrics) {
    rows.push_back({m.name, format_count(m.count), format_number(m.mae, 3), format_number(m.rmse, 3),
                    format_number(m.pearson, 3), format_number(m.exact, 3), format_number(m.within_one, 3),
                    format_number(m.kappa, 3), format_number(m.mean_mae, 3), format_number(m.mean_rmse, 3)});
    report.json[m.name] = to_json(m);
  }
  report.table = format_table(rows) + "mean MAE, mean RMSE: of the baseline that always predicts the mean label\n";
  return report;
}

}  // namespace steerlm
