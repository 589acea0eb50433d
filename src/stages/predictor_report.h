// A predictor's figures on labelled records: what validation prints and `evaluate` writes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/data/dataset.h"
#include "steerlm/eval/calibration.h"
#include "steerlm/eval/predictor_metrics.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/predict.h"

namespace steerlm {

struct PredictorReport {
  std::vector<AttributeMetrics> metrics;
  std::int64_t rows = 0;     // labelled assistant turns
  std::int64_t skipped = 0;  // turns of records that are longer than the context
  std::string table;
  Json json;
  std::string lines;  // validation.jsonl: a line a labelled assistant turn
};

// The records of data.validation, or the held-out share of those of data.train. Throws data at the first bad one, or
// leaves them out.
std::vector<Record> validation_records(const Attributes& attributes, const std::string& system, const DataOptions& data,
                                       OnBadRecord on_bad_record);

// Takes out the records that are longer than data.max_tokens or the predictor's context as it reads them, and warns of
// them; throws data at the first one under over_length: error, or where none is left.
void leave_out_long_records(const OpenModel& predictor, const DataOptions& data, std::vector<Record>& records,
                            const Context& context);

// Whether an assistant turn has a label to measure by; "" is none.
bool is_rated(const Turn& turn);

// `baseline`: what predict-the-mean says, the mean labels of the training part; empty: of these records, which the
// table then says. Warns where nothing is labelled or records
// are too long.
PredictorReport report_predictor(const OpenModel& predictor, std::span<const Record> records,
                                 const std::vector<double>& baseline, const Context& context);
// The same of predictions that are there, one a record.
PredictorReport report_predictions(const Attributes& attributes, std::span<const Record> records,
                                   const std::vector<RecordPrediction>& predictions,
                                   const std::vector<double>& baseline, const Context& context);

// The figures of one attribute, as `evaluate` writes them.
Json to_json(const AttributeMetrics& row);
// {"expected_error", "bins": [{"score", "label", "interval", "count"}]}, contracts.md section 4.
Json to_json(const Calibration& calibration);

// Labels of examples, (n, a) row-major, NaN unknown.
std::vector<float> label_rows(std::span<const Example> examples);
// The mean label of each attribute, NaN where none is known.
std::vector<double> label_means(const DatasetCounts& counts);

// done.json's `training_means`, the baseline of the tables.
void add_training_means(Json& summary, const std::vector<std::string>& names, const std::vector<double>& means);

}  // namespace steerlm
