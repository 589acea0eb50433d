#include "steerlm/train/step.h"

#include <ATen/Parallel.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/zeros.h>
#include <c10/core/InferenceMode.h>

#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <mutex>
#include <numeric>
#include <utility>
#include <vector>

#include "steerlm/data/packer.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/kernels/device.h"
#include "steerlm/nn/cost.h"
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

std::int64_t most_tokens(const StepInput& input) {
  std::int64_t most = 0;
  for (const PackedBatch& batch : input.micro_batches) most = std::max(most, batch.tokens.ids_n.numel());
  return most;
}

// Adds the gradients of all micro-batches, several computed at the same time and added in their order; returns the loss
// summed up.
at::Tensor gradients_side_by_side(Training& training, const StepInput& input, const Loss& loss, double scale,
                                  const StepOptions& options) {
  const auto count = static_cast<std::int64_t>(input.micro_batches.size());
  const std::int64_t at_once = std::min(count, micro_batches_at_once(options, most_tokens(input)));
  Parameters sums = training.gradients.views;
  const bool tied = sums.embedding_vd.defined() && !sums.lm_head_vd.defined() && !sums.score_ad.defined();
  if (tied) {
    // A micro-batch comes to the embedding twice, as output layer and by its tokens. In one sum all of them would have
    // to wait for the end of the one before.
    if (!training.by_tokens_vd.defined()) training.by_tokens_vd = at::empty_like(sums.embedding_vd);
    sums.lm_head_vd = std::exchange(sums.embedding_vd, training.by_tokens_vd.zero_());
  }

  GradientOrder order(count);
  std::vector<at::Tensor> losses(static_cast<size_t>(count));
  const auto compute = [&](std::int64_t i) {
    losses[static_cast<size_t>(i)] = loss.gradient(training.model, input.micro_batches[static_cast<size_t>(i)], scale,
                                                   options.recompute, sums, {&order, i});
    order.pass(i, last_stage);
  };
  // All threads share one that is left over, or each where there is one at once.
  std::int64_t by_threads = count;
  if (at_once == 1)
    by_threads = 0;
  else if (count % at_once == 1)
    by_threads = count - 1;
  std::atomic<std::int64_t> next = 0;
  std::exception_ptr failure;
  std::once_flag failed;
  at::parallel_for(0, by_threads > 0 ? at_once : 0, 1, [&](std::int64_t, std::int64_t) {
    const c10::InferenceMode no_autograd;
    for (std::int64_t i = next++; i < by_threads; i = next++) {
      try {
        compute(i);
      } catch (const GradientOrder::Abandoned&) {
        return;
      } catch (...) {
        std::call_once(failed, [&] { failure = std::current_exception(); });
        order.abandon();
        return;
      }
    }
  });
  if (failure) std::rethrow_exception(failure);
  for (std::int64_t i = by_threads; i < count; ++i) compute(i);
  if (tied) sums.lm_head_vd.add_(sums.embedding_vd);
  at::Tensor sum = at::zeros({1}, at::kDouble);
  for (const at::Tensor& one : losses) sum.add_(one);
  return sum;
}

}  // namespace

std::int64_t micro_batches_at_once(const StepOptions& options, std::int64_t most_tokens) {
  if (options.thread_tokens == 0) return 1;
  return std::clamp<std::int64_t>(options.micro_batch_tokens / std::max<std::int64_t>(1, most_tokens), 1,
                                  at::get_num_threads());
}

std::int64_t thread_tokens_for(at::Device device) { return device.is_cpu() ? tokens_of_a_thread : 0; }

namespace {

// Which of the units of these lengths make a micro-batch.
std::vector<std::vector<size_t>> together(std::span<const std::int64_t> lengths, std::int64_t budget,
                                          std::int64_t thread_tokens) {
  if (thread_tokens == 0) return pack(lengths, budget);
  const std::int64_t tokens = std::reduce(lengths.begin(), lengths.end());
  std::int64_t parts = 1;
  while (parts * thread_tokens < tokens) parts *= 2;
  for (;; parts *= 2) {
    std::vector<std::vector<size_t>> bins = spread(lengths, static_cast<size_t>(parts));
    const bool fit = std::ranges::all_of(bins, [&](const std::vector<size_t>& bin) {
      std::int64_t sum = 0;
      for (const size_t i : bin) sum += lengths[i];
      return bin.size() <= 1 || sum <= budget;
    });
    if (fit) return bins;
  }
}

}  // namespace

std::vector<std::vector<size_t>> micro_batches(std::span<const SequenceSize> sequences, std::int64_t budget,
                                               bool whole_groups, std::int64_t thread_tokens) {
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
  for (const std::vector<size_t>& members : together(lengths, budget, thread_tokens)) {
    if (members.empty()) continue;
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
  input.members = micro_batches(sizes, options.micro_batch_tokens, loss.whole_groups, options.thread_tokens);
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
  if (options.thread_tokens > 0) {
    pending.loss = gradients_side_by_side(training, input, loss, scale, options);
  } else {
    pending.loss = at::zeros({1}, at::TensorOptions(at::kDouble).device(training.model.device()));
    for (const PackedBatch& batch : input.micro_batches)
      pending.loss.add_(loss.gradient(training.model, batch, scale, options.recompute, training.gradients.views, {}));
  }
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

}  // namespace steerlm
