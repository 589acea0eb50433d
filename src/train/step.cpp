#include "steerlm/train/step.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/zeros.h>

#include <cmath>
#include <vector>

#include "steerlm/data/packer.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/kernels/device.h"
#include "steerlm/optim/schedule.h"

namespace steerlm {

Training make_training(const ModelConfig& config, Parameters weights, at::ScalarType dtype, at::Device device,
                       const std::function<bool(const std::string& name)>& is_trained) {
  Parameters trained = select(weights, is_trained);
  const at::ScalarType exact = to_list(trained).front().scalar_type();
  for_each_parameter(weights, [&](const std::string& name, at::Tensor& tensor) {
    if (is_trained(name))
      tensor.reset();
    else if (!device.is_cuda())
      tensor = tensor.to(dtype);
  });
  // On a GPU what is frozen lies side by side, too: projections of one input are one product.
  if (device.is_cuda() && !to_list(weights).empty()) weights = flatten(std::move(weights), dtype, device).views;
  Training training{.masters = flatten(std::move(trained), exact, device)};
  const Parameters& places = training.masters.views;
  training.gradients = flat_zeros(places, exact, device);
  training.adamw = {flat_zeros(places, exact, device), flat_zeros(places, exact, device)};
  training.copy = dtype == exact ? training.masters : flatten(places, dtype, device);
  training.model = {config, overlay(std::move(weights), training.copy.views)};
  return training;
}

void round_masters(Training& training) { training.copy.flat.copy_(training.masters.flat); }

namespace {

// What a sum over the step is multiplied by to be its mean.
double mean_scale(double weight) { return weight > 0 ? 1 / weight : 0; }

}  // namespace

std::vector<std::vector<size_t>> micro_batches(std::span<const SequenceSize> sequences, std::int64_t budget,
                                               bool whole_groups) {
  std::vector<std::int64_t> lengths;
  std::vector<std::vector<size_t>> units;  // what is packed: a sequence, or a group
  for (size_t i = 0; i < sequences.size(); ++i) {
    if (whole_groups && i > 0 && sequences[i].continues_group) {
      lengths.back() += sequences[i].tokens;
      units.back().push_back(i);
    } else {
      lengths.push_back(sequences[i].tokens);
      units.push_back({i});
    }
  }
  std::vector<std::vector<size_t>> batches;
  for (const std::vector<size_t>& members : pack(lengths, budget)) {
    std::vector<size_t>& batch = batches.emplace_back();
    for (size_t member : members) batch.insert(batch.end(), units[member].begin(), units[member].end());
  }
  return batches;
}

StepInput prepare_step(const Transformer& model, std::span<const Example* const> examples, const Loss& loss,
                       const StepOptions& options) {
  StepInput input{.examples = {examples.begin(), examples.end()}};
  std::vector<SequenceSize> sizes;
  for (const Example* example : examples) {
    const auto length = static_cast<std::int64_t>(example->ids.size());
    const bool continues = !sizes.empty() && same_group(*example, *examples[sizes.size() - 1]);
    sizes.push_back({length, continues});
    input.tokens += length;
    input.squared_lengths += length * length;
    input.targets += loss.count(*example);
    input.weight += loss.weight(*example);
  }
  input.members = micro_batches(sizes, options.micro_batch_tokens, loss.whole_groups);
  for (const std::vector<size_t>& members : input.members) {
    std::vector<const Example*> micro_batch;
    for (size_t member : members) micro_batch.push_back(examples[member]);
    input.micro_batches.push_back(pack_batch(model, make_batch(micro_batch, loss.weigh == nullptr)));
  }
  return input;
}

PendingStep enqueue_step(Training& training, StepInput& input, const Loss& loss, const StepOptions& options) {
  PendingStep pending{.result = {.tokens = input.tokens,
                                 .squared_lengths = input.squared_lengths,
                                 .targets = input.targets,
                                 .weight = input.weight}};
  if (loss.weigh != nullptr) {
    loss.weigh(training.model, input);
    pending.result.distance = input.distance_sum * mean_scale(input.weight);
  }
  training.gradients.flat.zero_();
  // Known before the first micro-batch: each adds its share of the mean.
  const double scale = mean_scale(input.weight);
  pending.loss = at::zeros({1}, at::TensorOptions(at::kDouble).device(training.model.device()));
  for (const PackedBatch& batch : input.micro_batches)
    pending.loss.add_(loss.gradient(training.model, batch, scale, options.recompute, training.gradients.views));
  if (loss.weigh != nullptr) pending.loss.fill_(input.loss_sum);
  pending.norm = global_norm(training.gradients.flat);
  const std::int64_t step = training.steps + 1;
  pending.result.learning_rate = learning_rate_at(options.optimizer, options.schedule, step, options.total_steps);
  adamw_update(training.masters, training.gradients, training.adamw, training.copy, options.optimizer,
               pending.result.learning_rate, {pending.loss, pending.norm, options.optimizer.clip_grad_norm}, step);
  return pending;
}

StepResult finish_step(Training& training, const PendingStep& pending) {
  StepResult result = pending.result;
  const at::Tensor numbers = to_host(at::cat({pending.loss, pending.norm}));
  const double* number = numbers.const_data_ptr<double>();
  result.loss = number[0] * mean_scale(result.weight);
  result.gradient_norm = number[1];
  result.applied = std::isfinite(number[0]) && std::isfinite(number[1]);
  if (result.applied) ++training.steps;
  return result;
}

StepResult train_step(Training& training, std::span<const Example* const> examples, const Loss& loss,
                      const StepOptions& options) {
  StepInput input = prepare_step(training.model, examples, loss, options);
  return finish_step(training, enqueue_step(training, input, loss, options));
}

}  // namespace steerlm
