// A run directory as the report sees it: what is in it, and what of it is missing or cannot be read.
#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "stages/report_figures.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/eval/calibration.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/report/svg_plot.h"

namespace steerlm {

// A line of answers.jsonl, contracts.md section 4.
struct SweepAnswer {
  std::string prompt, dial, response;
  std::int64_t level = 0, sample = 0;
  std::map<std::string, double> measured;  // scores and figures; empty: not judged
};

// What `annotate` wrote of an attribute, beside the labels that the data had before (`gt_label`).
struct AnnotatedAttribute {
  std::string name;
  std::map<int, std::int64_t> written, given;  // value -> assistant turns
  Calibration calibration;                     // scores and given labels of the same turns
  double absolute_error = 0;                   // sum of |score - given label| over the pairs
};

struct ReportRun {
  std::string name;  // as the user named it; of a step with the pipeline's in front
  Path folder;
  std::string stage;    // "" where nothing tells it
  std::string outcome;  // "finished", "not finished", "not run"
  std::string said;     // what the log of the pipeline, or of the run, says of its end
  std::string recipe_yaml;
  std::optional<Recipe> recipe;
  Json done, environment, evaluation;                     // null where the file is missing or damaged
  std::map<std::string, std::vector<PlotPoint>> metrics;  // by key, over the steps
  double seconds = 0;                                     // from the first line of metrics.jsonl to the last
  std::vector<SweepAnswer> answers;
  std::set<std::string> figures{"characters", "words", "grade"};  // measures with a unit of their own
  std::optional<SteerabilityFigures> steerability;                // of evaluation.json
  std::vector<ReliabilityCurve> reliability;                      // likewise
  std::vector<ExperimentFigures> experiments;                     // of the folder of `steerlm experiment`
  std::vector<AnnotatedAttribute> annotated;
  std::vector<std::string> outputs;     // that its recipe names, and where that of an annotation was found
  std::vector<std::string> data_lines;  // what log.txt says of the data
  std::vector<std::string> faults;      // sentences: what is missing, damaged or left out
};

// What validation says of the weights in model/: done.json names their step, which need not be the last one. Of a run
// that is not finished, the last validation. NaN where there is none.
double validation_figure(const ReportRun& run, const std::string& key);
// The step of these weights; nothing where none is known.
std::optional<std::int64_t> validated_step(const ReportRun& run);

// A run, or a pipeline with its steps, or a bootstrap with its three, in their order. Throws resources where the folder
// is no run directory.
std::vector<ReportRun> read_runs(const std::string& folder);

}  // namespace steerlm
