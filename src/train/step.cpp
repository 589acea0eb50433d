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
  Training training{.config = config, .dtype = dtype};
  training.masters = select(weights, is_trained);
  training.frozen = cast(select(weights, [&](const std::string& name) { return !is_trained(name); }), dtype);
  training.adamw = make_adamw_state(training.masters);
  training.gradients = zeros_like(training.masters, to_list(training.masters).front().scalar_type());
  return training;
}

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
  const Transformer model = training.model();
  for (at::Tensor gradient : to_list(training.gradients)) gradient.zero_();
  // Known before the first micro-batch: each adds its share of the mean.
  const double scale = result.targets > 0 ? 1.0 / static_cast<double>(result.targets) : 0;
  double sum = 0;
  for (const std::vector<size_t>& members : pack(lengths, options.micro_batch_tokens)) {
    std::vector<const Example*> micro_batch;
    for (size_t member : members) micro_batch.push_back(examples[member]);
    sum += loss.gradient(model, make_batch(micro_batch), scale, training.gradients);
  }
  result.loss = sum * scale;
  result.gradient_norm = global_norm(to_list(training.gradients));
  const std::int64_t step = training.steps + 1;
  result.learning_rate = learning_rate_at(options.optimizer, options.schedule, step, options.total_steps);
  result.applied = std::isfinite(result.loss) && std::isfinite(result.gradient_norm);
  if (!result.applied) return result;
  adamw_update(training.masters, training.gradients, training.adamw, options.optimizer, result.learning_rate,
               clip_factor(result.gradient_norm, options.optimizer.clip_grad_norm), step);
  training.steps = step;
  return result;
}

}  // namespace steerlm
