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
  at::Tensor by_tokens_vd;   // CPU, tied output: the embedding's gradient by its tokens, before it is added to that
  AdamwState adamw;
  FlatParameters copy;     // the masters rounded to the compute dtype; the masters themselves where that is theirs
  Transformer model;       // its trained weights are views of `copy`
  std::int64_t steps = 0;  // taken so far
};

// `weights` that `is_trained` picks by name become the masters; forward and backward compute in `dtype` on `device`.
Training make_training(const ModelConfig& config, Parameters weights, at::ScalarType dtype, at::Device device,
                       const std::function<bool(const std::string& name)>& is_trained);
// After the masters were changed by hand: rounds them once more for the model.
void round_masters(Training& training);

struct StepOptions {
  OptimizerOptions optimizer;
  ScheduleOptions schedule;
  std::int64_t total_steps = 0;         // of the run, for the schedule
  std::int64_t micro_batch_tokens = 0;  // tokens of a forward and backward; a longer sequence is one by itself
  bool recompute = false;               // TrunkSaved's
  // CPU: tokens of a micro-batch that one thread computes by itself, beside those of the other threads; 0, on a GPU:
  // one micro-batch after the other.
  std::int64_t thread_tokens = 0;
};

// StepOptions::thread_tokens: 0 on a GPU. It depends on nothing else, so that the bits of a training are those of any
// number of threads.
std::int64_t thread_tokens_for(at::Device device);

// The examples of a step, packed, on the device of the model.
struct StepInput {
  std::vector<PackedBatch> micro_batches;
  std::vector<std::vector<size_t>> members;  // of each micro-batch: indices of the step's examples, in its order
  std::int64_t tokens = 0;
  std::int64_t squared_lengths = 0;  // summed over the sequences: what attention costs
  std::int64_t targets = 0;          // targets or known attribute values
  double weight = 0;                 // the mean's denominator: where no example has a weight, `targets`
  std::vector<const Example*> examples;
  double loss_sum = 0, distance_sum = 0;  // set by Loss::weigh
};

struct StepResult {
  double loss = 0;           // mean over the step's targets or labels, by weight, before the update
  double distance = 0;       // of a loss that weighs: StepInput::distance_sum over the weight
  double gradient_norm = 0;  // of the mean's gradient, before clipping
  double learning_rate = 0;
  std::int64_t tokens = 0;
  std::int64_t squared_lengths = 0;
  std::int64_t targets = 0;  // StepInput's
  double weight = 0;         // StepInput's
  bool applied = false;      // false: loss or norm is not finite, and weights, moments and `steps` are as they were
};

// A step whose work is enqueued, on a GPU perhaps not done.
struct PendingStep {
  at::Tensor loss;    // (1) fp64: the sum over the micro-batches
  at::Tensor norm;    // (1) fp64
  StepResult result;  // less what the device computes
};

// Which sequences of a step are computed together: pack() of the sequences, or of whole groups; their indices. With
// `thread_tokens` spread() over a power of two of micro-batches, as far as there are that many.
struct SequenceSize {
  std::int64_t tokens = 0;
  bool continues_group = false;  // of the group of the one before
};
std::vector<std::vector<size_t>> micro_batches(std::span<const SequenceSize> sequences, std::int64_t budget,
                                               bool whole_groups, std::int64_t thread_tokens = 0);
// How many of them, of at most `most_tokens` each, are computed at the same time: as many as there are threads,
// together not more tokens than options.micro_batch_tokens.
std::int64_t micro_batches_at_once(const StepOptions& options, std::int64_t most_tokens);

// The examples of a group stand side by side.
StepInput prepare_step(const Transformer& model, std::span<const Example* const> examples, const Loss& loss,
                       const StepOptions& options);

// The gradient of the mean loss over all examples, summed over micro-batches; clipping by its global norm; AdamW with
// the rate of the schedule. Nothing of it waits for the device, but for Loss::weigh.
PendingStep enqueue_step(Training& training, StepInput& input, const Loss& loss, const StepOptions& options);

// Waits for the numbers of the step, the only time that it does, and counts it where it was applied.
StepResult finish_step(Training& training, const PendingStep& pending);

}  // namespace steerlm
