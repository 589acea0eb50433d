#include "steerlm/train/step.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "steerlm/data/packer.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/optim/schedule.h"

namespace steerlm {

Training make_training(const ModelConfig& config, Parameters weights, at::ScalarType dtype,
                       const std::function<bool(const std::string& name)>& is_trained) {
  Parameters trained = select(weights, is_trained);
  const at::ScalarType exact = to_list(trained).front().scalar_type();
  for_each_parameter(weights, [&](const std::string& name, at::Tensor& tensor) {
    if (is_trained(name))
      tensor.reset();
    else
      tensor = tensor.to(dtype);
  });
  Training training{.masters = flatten(std::move(trained), exact)};
  const Parameters& places = training.masters.views;
  training.gradients = flat_zeros(places, exact);
  training.adamw = {flat_zeros(places, exact), flat_zeros(places, exact)};
  training.copy = dtype == exact ? training.masters : flatten(places, dtype);
  training.model = {config, overlay(std::move(weights), training.copy.views)};
  return training;
}

void round_masters(Training& training) { training.copy.flat.copy_(training.masters.flat); }

double clip_factor(double norm, double largest) { return largest > 0 ? std::min(1.0, largest / (norm + 1e-6)) : 1; }

StepResult train_step(Training& training, std::span<const Example* const> examples, const Loss& loss,
                      const StepOptions& options) {
  StepResult result;
  std::vector<std::int64_t> lengths;
  for (const Example* example : examples) {
    lengths.push_back(static_cast<std::int64_t>(example->ids.size()));
    result.tokens += lengths.back();
    result.targets += loss.count(*example);
  }
  training.gradients.flat.zero_();
  // Known before the first micro-batch: each adds its share of the mean.
  const double scale = result.targets > 0 ? 1.0 / static_cast<double>(result.targets) : 0;
  double sum = 0;
  for (const std::vector<size_t>& members : pack(lengths, options.micro_batch_tokens)) {
    std::vector<const Example*> micro_batch;
    for (size_t member : members) micro_batch.push_back(examples[member]);
    sum += loss.gradient(training.model, make_batch(micro_batch), scale, training.gradients.views);
  }
  result.loss = sum * scale;
  result.gradient_norm = global_norm(training.gradients.flat);
  const std::int64_t step = training.steps + 1;
  result.learning_rate = learning_rate_at(options.optimizer, options.schedule, step, options.total_steps);
  result.applied = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  if (!result.applied) return result;
  adamw_update(training.masters, training.gradients, training.adamw, training.copy, options.optimizer,
               result.learning_rate, clip_factor(result.gradient_norm, options.optimizer.clip_grad_norm), step);
  training.steps = step;
  return result;
}

}  // namespace steerlm
