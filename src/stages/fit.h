// The training loop. Every training stage calls it with its gradient and its validation; nothing else steps, guards,
// saves, stops or resumes.
#pragma once

#include <functional>
#include <vector>

#include "steerlm/data/batch.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/report/metrics.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/run_directory.h"

namespace steerlm {

struct FitTask {
  const std::vector<Example>* examples = nullptr;
  // What an example adds to the denominator of the step's loss.
  std::function<std::int64_t(const Example&)> count;
  // Loss sum of a micro-batch; adds the gradient of sum * scale.
  std::function<double(const Transformer&, const Batch&, double scale, Parameters& gradients)> gradient;
  std::function<Metrics(const Transformer&)> validate;  // empty: nothing to validate on
};

struct FitResult {
  Outcome outcome = Outcome::done;
  Parameters weights;  // fp32; the last step's, or the best validation's with keep_best
  std::int64_t steps = 0;
  std::int64_t weights_step = 0;  // the step that `weights` are of
  Metrics validation;             // the last one's, if this process made it
};

// Optimiser steps of the recipe over so many examples.
std::int64_t total_steps(const Recipe& recipe, std::int64_t examples);

// Trains `weights` (fp32, in place), with LoRA its matrices and a predictor's score alone, or goes on from the newest
// whole checkpoint. The result has what was trained. Throws diverged before a step with a loss or gradient that is not
// finite is applied.
FitResult fit(const Recipe& recipe, RunDirectory& run, const ModelConfig& config, Parameters weights,
              const FitTask& task, const Context& context);

}  // namespace steerlm
