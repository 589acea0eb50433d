// The training loop. Every training stage calls it with its gradient and its validation; nothing else steps, guards,
// saves, stops or resumes.
#pragma once

#include <functional>

#include "steerlm/data/example_set.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/report/metrics.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/train/losses.h"

namespace steerlm {

struct FitTask {
  const ExampleSet* examples = nullptr;
  Loss loss;
  // With so many tokens computed at once; empty: nothing to validate on.
  std::function<Metrics(const Transformer&, std::int64_t batch_tokens)> validate;
  std::int64_t validation_tokens = 0;  // that it reads: the remaining time counts them
};

struct FitResult {
  Outcome outcome = Outcome::done;
  Parameters weights;  // fp32; the last step's, or the best validation's with keep_best
  std::int64_t steps = 0;
  std::int64_t weights_step = 0;  // the step that `weights` are of
};

// Optimiser steps of the recipe over so many groups; an example without a group is one.
std::int64_t total_steps(const Recipe& recipe, std::int64_t groups);

// Trains `weights` (fp32, in place), with LoRA its matrices and a predictor's score alone, or goes on from the newest
// whole checkpoint. The result has what was trained. A loss or gradient that is not finite throws before it is applied:
// model in the first step of a run, diverged later.
FitResult fit(const Recipe& recipe, RunDirectory& run, const ModelConfig& config, Parameters weights,
              const FitTask& task, const Context& context);

}  // namespace steerlm
