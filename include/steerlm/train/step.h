// One optimiser step: the arithmetic of training. How many steps, validation, checkpoints and stopping are stages/fit.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>

#include "steerlm/data/example.h"
#include "steerlm/optim/adamw.h"
#include "steerlm/optim/options.h"
#include "steerlm/train/losses.h"

namespace steerlm {

// What a step changes, and what it computes with.
struct Training {
  FlatParameters masters;    // what is trained: fp32 (fp64 in tests)
  FlatParameters gradients;  // of the last step, before clipping; dtype of the masters
  AdamwState adamw;
  FlatParameters copy;     // the masters rounded to the compute dtype; the masters themselves where that is theirs
  Transformer model;       // its trained weights are views of `copy`
  std::int64_t steps = 0;  // taken so far
};

// `weights` that `is_trained` picks by name become the masters; forward and backward compute in `dtype`.
Training make_training(const ModelConfig& config, Parameters weights, at::ScalarType dtype,
                       const std::function<bool(const std::string& name)>& is_trained);
// After the masters were changed by hand: rounds them once more for the model.
void round_masters(Training& training);

struct StepOptions {
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  std::int64_t total_steps = 0;         // of the run, for the schedule
  std::int64_t micro_batch_tokens = 0;  // tokens of a forward and backward; a longer sequence is one by itself
};

struct StepResult {
  double loss = 0;           // mean over the step's targets or labels, before the update
  double gradient_norm = 0;  // of the mean's gradient, before clipping
  double learning_rate = 0;
  std::int64_t tokens = 0;
  std::int64_t targets = 0;  // the mean's denominator
  bool applied = false;      // false: loss or norm is not finite, and weights, moments and `steps` are as they were
};

// The gradient of the mean loss over all examples, summed over micro-batches; clipping by its global norm; AdamW with
// the rate of the schedule.
StepResult train_step(Training& training, std::span<const Example* const> examples, const Loss& loss,
                      const StepOptions& options);

// What gradients of this global norm are multiplied by, as torch.nn.utils.clip_grad_norm_ does (Pascanu et al. 2013):
// min(1, largest / (norm + 1e-6)). `largest` 0: no clipping.
double clip_factor(double norm, double largest);

}  // namespace steerlm
