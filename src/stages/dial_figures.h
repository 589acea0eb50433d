// What a dial sweep says beside its slopes: the steerability matrix, SteerBench's steering errors, and how far apart
// and how varied the answers of one level are.
#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "stages/dial_sweep.h"
#include "stages/perplexity.h"
#include "steerlm/eval/steerability.h"

namespace steerlm {

// What is measured of each response of a sweep.
struct Judgement {
  Measures measures;
  std::vector<std::vector<double>> values;  // a row a response; empty: it could not be judged
  std::vector<double> own_levels;           // one a response, of the swept dial; NaN where no edges say it
  // A row a response, its attributes scaled to [0, 1], clamped; NaN where a value or its scale is not known.
  std::vector<std::vector<double>> scaled;
};

// The answers of a sweep, by the number of the request.
struct SweepAnswers {
  std::span<const GenerationResult> results;
  const Judgement& judgement;
  std::span<const std::optional<ResponseLikelihood>> likelihoods;  // empty: no other model was asked
};

struct SteerabilityReport {
  Json json;  // contracts.md section 4, "steerability"
  std::string text;
};

// `table`: the rows of the dials that were swept. `attributes`: the model's.
SteerabilityReport report_steerability(const Sweep& sweep, const Attributes& attributes, const SweepAnswers& answers,
                                       const DialTable& table);

}  // namespace steerlm
