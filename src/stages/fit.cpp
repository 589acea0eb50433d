#include "stages/fit.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>

#include "steerlm/core/stop.h"
#include "steerlm/data/order.h"
#include "steerlm/data/packer.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/nn/device.h"
#include "steerlm/optim/adamw.h"
#include "steerlm/optim/schedule.h"
#include "steerlm/report/metrics.h"
#include "steerlm/report/progress.h"
#include "steerlm/store/snapshot.h"

namespace steerlm {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// What a checkpoint holds beside the weights: everything else is a function of the recipe and the step.
struct TrainState {
  std::int64_t step = 0;
  std::optional<double> best;  // of keep_best's metric
  std::int64_t best_step = 0;
};

NamedTensors with_prefix(const std::string& prefix, const Parameters& parameters, NamedTensors tensors) {
  for (auto& [name, tensor] : to_named_tensors(parameters)) tensors.emplace_back(prefix + name, tensor);
  return tensors;
}

// Copies the tensors of a snapshot into `parameters`, which have the model's shapes.
void restore(const NamedTensors& tensors, const std::string& prefix, Parameters& parameters) {
  for_each_parameter(parameters, [&](const std::string& name, at::Tensor& tensor) {
    for (const auto& [stored_name, stored] : tensors) {
      if (stored_name == prefix + name) {
        tensor.copy_(stored);
        return;
      }
    }
    fail(ExitCode::model,
         {.what = "the checkpoint lacks a tensor", .where = prefix + name, .advice = "start over with --fresh"});
  });
}

Json state_json(const TrainState& state) {
  Json json = {{"step", state.step}, {"threads", at::get_num_threads()}};
  if (state.best) json["best"] = {{"step", state.best_step}, {"value", *state.best}};
  return json;
}

TrainState resume(RunDirectory& run, Parameters& masters, AdamwState& adamw, const Context& context) {
  TrainState state;
  const auto snapshot = find_snapshot(run.files(), [&](const std::string& text) { context.log->warn(text); });
  if (!snapshot) return state;
  const NamedTensors tensors = read_snapshot_tensors(*snapshot);
  restore(tensors, "weights.", masters);
  restore(tensors, "first_moment.", adamw.first_moment);
  restore(tensors, "second_moment.", adamw.second_moment);
  state.step = snapshot->step;
  if (snapshot->state.contains("best")) {
    state.best = snapshot->state["best"]["value"].get<double>();
    state.best_step = snapshot->state["best"]["step"].get<std::int64_t>();
  }
  if (const int threads = snapshot->state.value("threads", at::get_num_threads()); threads != at::get_num_threads()) {
    context.log->warn(
        fmt::format("the run began with {} threads and goes on with {}: the last bits of its numbers may differ",
                    threads, at::get_num_threads()));
  }
  context.log->info(fmt::format("goes on after step {}", state.step));
  return state;
}

}  // namespace

std::int64_t total_steps(const Recipe& recipe, std::int64_t examples) {
  return recipe.train.steps ? *recipe.train.steps
                            : recipe.train.epochs.value_or(1) * steps_per_epoch(examples, recipe.train.batch_size);
}

FitResult fit(const Recipe& recipe, RunDirectory& run, const ModelConfig& config, Parameters weights,
              const FitTask& task, const Context& context) {
  const Clock::time_point begin = Clock::now();
  const std::vector<Example>& examples = *task.examples;
  const std::int64_t count = static_cast<std::int64_t>(examples.size());
  const std::int64_t total = total_steps(recipe, count);
  const std::int64_t epoch_steps = steps_per_epoch(count, recipe.train.batch_size);
  const at::ScalarType dtype = compute_dtype(recipe.precision);
  const auto& keep_best = recipe.checkpoint.keep_best;

  const auto is_trained = [&](const std::string& name) { return !recipe.lora || is_trained_by_lora(name); };
  Parameters masters = select(weights, is_trained);
  const Parameters frozen = cast(select(weights, [&](const std::string& name) { return !is_trained(name); }), dtype);
  weights = {};
  AdamwState adamw = make_adamw_state(masters);
  Parameters gradients = zeros_like(masters, at::kFloat);
  Transformer model{config, overlay(frozen, cast(masters, dtype))};
  TrainState state = resume(run, masters, adamw, context);
  MetricsFile metrics(run.files().grow("metrics.jsonl"));
  metrics.cut_back(state.step);
  Order order(static_cast<std::uint64_t>(recipe.seed), count, recipe.data.shuffle);
  Progress progress("training", "steps", total, standard_error_progress(context.quiet), state.step);
  FitResult result;
  std::int64_t saved_step = state.step;

  const auto save = [&] {
    metrics.sync();
    publish_snapshot(
        run.files(), state.step,
        with_prefix("second_moment.", adamw.second_moment,
                    with_prefix("first_moment.", adamw.first_moment, with_prefix("weights.", masters, {}))),
        state_json(state));
    saved_step = state.step;
    prune_snapshots(run.files(), recipe.checkpoint.keep, state.best ? std::optional(state.best_step) : std::nullopt);
  };
  const auto validate = [&] {
    model.weights = overlay(frozen, cast(masters, dtype));
    result.validation = task.validate(model);
    metrics.write(state.step, result.validation);
    std::string line = fmt::format("step {}/{}", state.step, total);
    for (const auto& [name, value] : result.validation) {
      if (std::ranges::count(name, '/') == 1)
        line += fmt::format("  {} {:.4g}", name, value);  // per attribute: metrics.jsonl has them
    }
    context.log->info(line);
    if (!keep_best) return;
    const auto metric = std::ranges::find(result.validation, keep_best->metric, &Metrics::value_type::first);
    if (metric == result.validation.end()) {
      fail(ExitCode::recipe, {.what = "validation has no metric of this name",
                              .where = "checkpoint.keep_best.metric",
                              .found = keep_best->metric});
    }
    const bool better = !state.best || (keep_best->mode == MetricMode::min ? metric->second < *state.best
                                                                           : metric->second > *state.best);
    if (better && std::isfinite(metric->second)) {
      state.best = metric->second;
      state.best_step = state.step;
      save();
    }
  };

  while (state.step < total) {
    const Clock::time_point step_begin = Clock::now();
    // The examples of step s are items s*B … of the endless sequence of seeded permutations: the step is the whole data
    // position.
    const auto [first, size] = step_positions(state.step, count, recipe.train.batch_size);
    std::vector<const Example*> step_examples;
    std::vector<std::int64_t> lengths;
    std::int64_t tokens = 0, targets = 0;
    for (std::int64_t i = first; i < first + size; ++i) {
      step_examples.push_back(&examples[order.item_at(i)]);
      lengths.push_back(static_cast<std::int64_t>(step_examples.back()->ids.size()));
      tokens += lengths.back();
      targets += task.count(*step_examples.back());
    }

    model.weights = overlay(frozen, cast(masters, dtype));
    for (at::Tensor gradient : to_list(gradients)) gradient.zero_();
    double loss = 0;
    const double scale = targets > 0 ? 1.0 / static_cast<double>(targets) : 0;
    for (const std::vector<size_t>& members : pack(lengths, recipe.train.micro_batch_tokens)) {
      std::vector<const Example*> micro_batch;
      for (size_t member : members) micro_batch.push_back(step_examples[member]);
      loss += task.gradient(model, make_batch(micro_batch), scale, gradients);
    }
    loss *= scale;
    const double norm = global_norm(to_list(gradients));
    if (!std::isfinite(loss) || !std::isfinite(norm)) {
      fail(ExitCode::diverged,
           {.what = "training diverged: the loss or its gradient is not finite; nothing of this step was applied",
            .where = fmt::format("step {}", state.step + 1),
            .found = fmt::format("loss {}, gradient norm {}", loss, norm),
            .advice = "lower optimizer.learning_rate, or add schedule.warmup_steps"});
    }
    const double clip = recipe.optimizer.clip_grad_norm;
    const double factor = clip > 0 && norm > clip ? clip / (norm + 1e-6) : 1;
    const double rate = learning_rate_at(recipe.optimizer, recipe.schedule, state.step + 1, total);
    adamw_update(masters, gradients, adamw, recipe.optimizer, rate, factor, state.step + 1);
    ++state.step;
    const double tokens_per_second = static_cast<double>(tokens) / seconds_since(step_begin);
    metrics.write(state.step, {{"train/loss", loss},
                               {"train/learning_rate", rate},
                               {"train/grad_norm", norm},
                               {"train/tokens_per_second", tokens_per_second},
                               {"train/target_tokens", static_cast<double>(targets)}});
    progress.update(state.step, fmt::format("loss {:.4f}  {:.0f} tok/s", loss, tokens_per_second));

    const bool epoch_end = state.step % epoch_steps == 0 || state.step == total;
    const std::int64_t every = recipe.evaluate.every_steps;
    if (task.validate && (every > 0 ? state.step % every == 0 || state.step == total : epoch_end)) validate();
    const bool time_is_up = recipe.train.max_minutes > 0 && seconds_since(begin) >= 60 * recipe.train.max_minutes;
    const bool stopping = (stop_requested() || time_is_up) && state.step < total;
    if (saved_step != state.step &&
        (state.step % recipe.checkpoint.every_steps == 0 || state.step == total || stopping))
      save();
    if (stopping) {
      context.log->info(fmt::format("stopped {} after step {} of {}; everything is saved, the same command goes on",
                                    time_is_up ? "by train.max_minutes" : "on request", state.step, total));
      result.outcome = Outcome::stopped;
      return result;
    }
  }
  progress.finish();

  result.steps = total;
  result.weights_step = total;
  result.weights = masters;
  if (keep_best && state.best && state.best_step != state.step) {
    Snapshot best{state.best_step, run.checkpoints() / ("step-" + std::to_string(state.best_step)), {}};
    restore(read_snapshot_tensors(best), "weights.", result.weights);
    result.weights_step = state.best_step;
    context.log->info(
        fmt::format("model/ gets the weights of step {}: {} {:.4g}", state.best_step, keep_best->metric, *state.best));
  }
  return result;
}

}  // namespace steerlm
