#include "stages/predictor_report.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "steerlm/data/record_reader.h"
#include "steerlm/data/split.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"

namespace steerlm {

Json to_json(const AttributeMetrics& row) {
  return {{"count", row.count},
          {"mae", number_or_null(row.mae)},
          {"rmse", number_or_null(row.rmse)},
          {"pearson", number_or_null(row.pearson)},
          {"spearman", number_or_null(row.spearman)},
          {"exact", number_or_null(row.exact)},
          {"within_one", number_or_null(row.within_one)},
          {"kappa", number_or_null(row.kappa)},
          {"mean_mae", number_or_null(row.mean_mae)},
          {"mean_rmse", number_or_null(row.mean_rmse)}};
}

Json to_json(const Calibration& calibration) {
  Json bins = Json::array();
  for (const auto& [rounded, bin] : calibration.bins()) {
    const double label = bin.labels.mean(), half = bin.labels.half_width();
    bins.push_back({{"score", bin.scores.mean()},
                    {"label", label},
                    {"interval", {number_or_null(label - half), number_or_null(label + half)}},
                    {"count", bin.labels.count}});
  }
  return {{"expected_error", number_or_null(calibration.expected_error())}, {"bins", bins}};
}

namespace {

// A line of validation.jsonl.
Json validation_line(const Record& record, const TurnScores& turn, const std::vector<float>& values,
                     const Attributes& attributes) {
  Json line{{"file", record.file},         {"line", record.line},      {"part", record.part},     {"turn", turn.turn},
            {"dialogue", record.dialogue}, {"labels", Json::object()}, {"scores", Json::object()}};
  for (size_t a = 0; a < attributes.names.size(); ++a) {
    if (!std::isnan(values[a])) line["labels"][attributes.names[a]] = static_cast<std::int64_t>(values[a]);
    line["scores"][attributes.names[a]] = turn.scores[a];
  }
  return line;
}

}  // namespace

std::vector<float> label_rows(std::span<const Example> examples) {
  std::vector<float> labels;
  for (const Example& example : examples) labels.insert(labels.end(), example.labels.begin(), example.labels.end());
  return labels;
}

std::vector<double> label_means(const DatasetCounts& counts) {
  std::vector<double> means = counts.label_sums;
  for (size_t a = 0; a < means.size(); ++a) means[a] /= static_cast<double>(counts.label_values[a]);
  return means;
}

void add_training_means(Json& summary, const std::vector<std::string>& names, const std::vector<double>& means) {
  for (size_t a = 0; a < means.size(); ++a) summary["training_means"][names[a]] = number_or_null(means[a]);
}

std::vector<Record> validation_records(const Attributes& attributes, const std::string& system, const DataOptions& data,
                                       OnBadRecord on_bad_record) {
  const bool own = !data.validation.empty();
  std::vector<Record> records;
  RecordReader reader(own ? data.validation : data.train, attributes, system);
  while (auto entry = reader.next()) {  // the records of the training part are not kept
    if (const BadRecord* bad = std::get_if<BadRecord>(&*entry)) {
      if (on_bad_record == OnBadRecord::stop) refuse(*bad);
      continue;
    }
    Record& record = std::get<Record>(*entry);
    if (own || is_held_out(record.dialogue, data)) records.push_back(std::move(record));
  }
  return records;
}

void leave_out_long_records(const OpenModel& predictor, const DataOptions& data, std::vector<Record>& records,
                            const Context& context) {
  const std::int64_t own = predictor.folder.config.context_length(), limit = std::min(data.max_tokens, own);
  const std::string what = own < data.max_tokens ? fmt::format("the predictor's context of {} tokens", own)
                                                 : fmt::format("data.max_tokens {}", data.max_tokens);
  const ConversationTemplate conversation_template = make_template(predictor.folder, predictor.tokenizer);
  std::vector<Record> kept;
  for (Record& record : records) {
    const std::vector<std::int64_t> needed =
        context_needed(predictor.folder, predictor.tokenizer, conversation_template, record);
    const std::int64_t tokens = needed.empty() ? 0 : std::ranges::max(needed);
    if (tokens <= limit) {
      kept.push_back(std::move(record));
      continue;
    }
    if (data.over_length != OverLength::error) continue;
    fail(ExitCode::data, {.what = "a conversation longer than " + what,
                          .where = where(record),
                          .found = std::to_string(tokens) + " tokens",
                          .expected = "at most " + std::to_string(limit),
                          .advice = "take the record out, or set data.over_length to drop"});
  }
  const size_t left_out = records.size() - kept.size();
  if (left_out > 0) {
    context.log->warn(fmt::format("{} validation records are longer than {} and were left out", left_out, what));
  }
  records = std::move(kept);
  if (records.empty()) {
    fail(ExitCode::data, {.what = "no validation record is left to measure the predictor on",
                          .where = "data.validation",
                          .found = fmt::format("{} records longer than {}", left_out, what),
                          .advice = own < data.max_tokens ? "" : "raise data.max_tokens"});
  }
}

bool is_rated(const Turn& turn) {
  return turn.label && !turn.label->text.empty() && !turn.label->values.empty() && !turn.context_only;
}

PredictorReport report_predictor(const OpenModel& predictor, std::span<const Record> records,
                                 const std::vector<double>& baseline, const Context& context) {
  require_predictor(predictor);
  return report_predictions(predictor.attributes, records, predict_records(predictor, records, default_batch_tokens),
                            baseline, context);
}

PredictorReport report_predictions(const Attributes& attributes, std::span<const Record> records,
                                   const std::vector<RecordPrediction>& predictions,
                                   const std::vector<double>& baseline, const Context& context) {
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
      if (!is_rated(own)) continue;
      ++report.rows;
      labels.insert(labels.end(), own.label->values.begin(), own.label->values.end());
      for (float score : turn.scores) scores.push_back(static_cast<double>(score));
      report.lines += dump_json(validation_line(records[r], turn, own.label->values, attributes)) + "\n";
    }
  }
  if (report.skipped > 0)
    context.log->warn(std::to_string(report.skipped) +
                      " validation records are longer than the predictor's context and were left out");
  if (report.rows == 0) context.log->warn("no validation record has a labelled assistant turn");
  const std::vector<double> own_means = label_means(attributes.names.size(), labels);
  report.metrics = predictor_metrics(attributes.names, attributes.min, attributes.max, scores, labels,
                                     baseline.empty() ? own_means : baseline);
  std::vector<Calibration> calibrations(attributes.names.size());
  for (size_t i = 0; i < labels.size(); ++i) {
    if (!std::isnan(labels[i])) calibrations[i % calibrations.size()].add(scores[i], static_cast<double>(labels[i]));
  }
  std::vector<std::vector<std::string>> rows{{"attribute", "count", "MAE", "RMSE", "Pearson", "Spearman", "exact",
                                              "within 1", "kappa", "mean MAE", "mean RMSE", "calibration error"}};
  for (size_t a = 0; a < report.metrics.size(); ++a) {
    const AttributeMetrics& m = report.metrics[a];
    rows.push_back({m.name, format_count(m.count), format_number(m.mae, 3), format_number(m.rmse, 3),
                    format_number(m.pearson, 3), format_number(m.spearman, 3), format_number(m.exact, 3),
                    format_number(m.within_one, 3), format_number(m.kappa, 3), format_number(m.mean_mae, 3),
                    format_number(m.mean_rmse, 3), format_number(calibrations[a].expected_error(), 3)});
    report.json[m.name] = to_json(m);
    report.json[m.name]["calibration"] = to_json(calibrations[a]);
  }
  report.table = format_table(rows) + "mean MAE, mean RMSE: of the baseline that always predicts the mean label of " +
                 (baseline.empty() ? "these records" : "the training part") +
                 "\n"
                 "calibration error: mean distance of score and label over the answers whose score rounds alike\n";
  return report;
}

}  // namespace steerlm
