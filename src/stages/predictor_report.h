// A predictor's figures on labelled records: what validation prints and `evaluate` writes.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/eval/predictor_metrics.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/report/metrics.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/predict.h"

namespace steerlm {

struct PredictorReport {
  std::vector<AttributeMetrics> metrics;
  std::int64_t rows = 0;     // labelled assistant turns
  std::int64_t skipped = 0;  // turns of records that are longer than the context
  std::string table;
  Json json;
};

// The records of data.validation, or the held-out share of those of data.train.
std::vector<Record> validation_records(const Attributes& attributes, const std::string& system,
                                       const DataOptions& data);

// `baseline`: what predict-the-mean says; empty: the mean of these labels. Warns where nothing is labelled or records
// are too long.
PredictorReport report_predictor(const OpenModel& predictor, std::span<const Record> records,
                                 const std::vector<double>& baseline, const Context& context);

// "validation/mae/quality", "validation/pearson/quality", …
void append_predictor_metrics(Metrics& metrics, const std::vector<AttributeMetrics>& rows);

}  // namespace steerlm
