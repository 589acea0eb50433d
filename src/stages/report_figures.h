// The figures that a report reads from the JSON of runs and experiments. The readers throw Json::exception where a key
// is missing or of another type than the program writes.
#pragma once

#include <limits>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/eval/intervals.h"
#include "steerlm/eval/steering_error.h"

namespace steerlm {

inline constexpr double no_number = std::numeric_limits<double>::quiet_NaN();

double number_or_nan(const Json& value);

// evaluation.json's "steerability", contracts.md section 4.
struct SteerabilityFigures {
  struct Effect {
    std::string measure;
    double effect = 0;
    Interval interval;
    double in_spreads = 0;
  };
  struct Dial {
    std::string name;
    std::vector<Effect> effects;
  };
  struct Level {
    std::string dial;
    std::int64_t level = 0, answers = 0;
    double spread = 0;  // of the dial's own measure
    double distinct_1 = 0, distinct_2 = 0, repeated = 0;
    double loss = 0, perplexity = 0;  // under another model, NaN without one
  };
  struct Steering {
    std::string dial;
    std::int64_t requests = 0;
    SteeringErrors errors;
  };
  std::vector<Dial> matrix;
  std::vector<Level> levels;
  std::vector<Steering> steering;  // one a dial that has a request, then "all"; empty where none has one
  std::string perplexity_model, perplexity_template;  // "": none was asked
};
SteerabilityFigures read_steerability(const Json& json);

// "predictor" of evaluation.json: the reliability curve of an attribute.
struct ReliabilityCurve {
  struct Bin {
    double score = 0, label = 0;
    Interval interval;
    std::int64_t count = 0;
  };
  std::string attribute;
  std::vector<Bin> bins;
  double expected_error = 0;
};
std::vector<ReliabilityCurve> read_reliability(const Json& predictor);

// DIR/NAME.json of `steerlm experiment`.
struct ExperimentFigures {
  struct Measure {
    std::string name;
    std::vector<double> values;  // one a seed
    double mean = 0;
    Interval interval;
    double paper = 0;  // NaN: none is given
  };
  struct Threshold {
    std::string expected, outcome;
  };
  std::string name, question, mirrors, shows, cannot_show;
  std::int64_t seeds = 0;
  bool quick = false;
  std::vector<Measure> measures;
  std::vector<Threshold> thresholds;
};
ExperimentFigures read_experiment(const Json& json);

}  // namespace steerlm
