#pragma once

#include <optional>
#include <string>
#include <vector>

#include "steerlm/stages/context.h"

namespace steerlm {

struct ExperimentRun {
  std::string output;                 // folder of the results and of the runs
  std::optional<std::int64_t> seeds;  // instead of the experiment's own number
  bool quick = false;                 // its `quick` overrides, one seed
};

// Runs the pipelines of experiment files, each seed as `program pipeline`, and writes OUTPUT/NAME.json and
// OUTPUT/NAME.txt, NAME being the stem of the file: each figure over the seeds with mean and 95 % interval, and which
// of the thresholds were reached. Experiments whose pipelines resolve to the same share their runs,
// OUTPUT/runs/PIPELINE-HASH/seed-K; what is done already is not done again. A threshold that is missed is a result and
// no error. Returns the exit code of the run that ended it, or 0.
int run_experiments(const std::vector<std::string>& files, const ExperimentRun& run, const std::string& program,
                    const Context& context);

}  // namespace steerlm
