#include "stages/fit.h"

#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <stdexcept>

#include "steerlm/core/stop.h"
#include "steerlm/data/order.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/nn/device.h"
#include "steerlm/optim/schedule.h"
#include "steerlm/report/metrics.h"
#include "steerlm/report/progress.h"
#include "steerlm/store/snapshot.h"
#include "steerlm/train/step.h"

namespace steerlm {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

// The best validation so far, by keep_best's metric.
struct Best {
  std::int64_t step = 0;
  double value = 0;
};

NamedTensors with_prefix(const std::string& prefix, const Parameters& parameters, NamedTensors tensors) {
  for (auto& [name, tensor] : to_named_tensors(parameters)) tensors.emplace_back(prefix + name, tensor);
  return tensors;
}

// Copies the tensors of a snapshot into `parameters`, which have the model's shapes.
void restore(const NamedTensors& tensors, const std::string& prefix, Parameters& parameters) {
  for_each_parameter(parameters, [&](const std::string& name, at::Tensor& tensor) {
    for (const auto& [stored_name, stored] : tensors) {
      if (stored_name == prefix + name && stored.sizes() == tensor.sizes()) {
        tensor.copy_(stored);
        return;
      }
    }
    fail(ExitCode::model, {.what = "the checkpoint lacks a tensor of the model's shape",
                           .where = prefix + name,
                           .advice = "start over with --fresh"});
  });
}

// What a checkpoint holds beside the tensors: everything else is a function of the recipe and the step.
Json state_json(const Training& training, const std::optional<Best>& best, const Recipe& recipe, std::int64_t total) {
  Json json = {{"step", training.steps}, {"total_steps", total}, {"threads", at::get_num_threads()}};
  if (best) {
    const KeepBestOptions& keep = *recipe.checkpoint.keep_best;
    json["best"] = {
        {"step", best->step}, {"value", best->value}, {"metric", keep.metric}, {"mode", enum_name(keep.mode)}};
  }
  return json;
}

// Throws model for a state that state_json cannot have written.
void check_state(const Snapshot& snapshot) {
  const auto require = [&](bool holds, const std::string& key) {
    if (!holds)
      fail(ExitCode::model,
           {.what = "its state has no sensible '" + key + "'", .where = (snapshot.folder / "state.json").string()});
  };
  const auto is_from_1 = [](const Json& json, const char* key) {
    return json.contains(key) && json[key].is_number_unsigned() && json[key] > 0 && json[key] <= INT32_MAX;
  };
  const Json& state = snapshot.state;
  require(state.is_object() && is_from_1(state, "step") && state["step"] == snapshot.step, "step");
  for (const char* key : {"total_steps", "threads"}) require(!state.contains(key) || is_from_1(state, key), key);
  if (!state.contains("best")) return;
  const Json& best = state["best"];
  require(best.is_object() && is_from_1(best, "step") && best["step"] <= snapshot.step && best.contains("value") &&
              best["value"].is_number(),
          "best");
  for (const char* key : {"metric", "mode"}) require(!best.contains(key) || best[key].is_string(), "best");
}

// A recipe that goes on with another metric: what was best by the old one says nothing.
std::optional<Best> best_so_far(const Json& state, const Recipe& recipe, const Context& context) {
  const auto& keep = recipe.checkpoint.keep_best;
  if (!keep || !state.contains("best")) return std::nullopt;
  const Json& stored = state["best"];
  const std::int64_t step = stored["step"].get<std::int64_t>();
  const std::string metric = stored.value("metric", keep->metric);
  if (metric != keep->metric || stored.value("mode", std::string(enum_name(keep->mode))) != enum_name(keep->mode)) {
    context.log->warn(fmt::format(
        "checkpoint.keep_best has changed since step {}, the best by {}: the best is sought among the steps to come",
        step, metric));
    return std::nullopt;
  }
  return Best{step, stored["value"].get<double>()};
}

// A run that was planned for another number of steps: its schedule is drawn anew, and the rate jumps.
void say_other_length(const Recipe& recipe, std::int64_t step, std::int64_t before, std::int64_t total,
                      const Context& context) {
  const auto rate = [&](std::int64_t t, std::int64_t of) {
    return learning_rate_at(recipe.optimizer, recipe.schedule, t, of);
  };
  const double next = rate(step + 1, total);
  if (before == total || step >= total || next == (step < before ? rate(step + 1, before) : rate(step, before))) return;
  context.log->warn(fmt::format(
      "the run was planned for {} steps and now has {}: schedule.kind {} reaches to the new end, and the learning rate "
      "goes from {:.3g} at step {} to {:.3g} at step {}",
      before, total, enum_name(recipe.schedule.kind), rate(step, before), step, next, step + 1));
}

std::optional<Best> resume(RunDirectory& run, const Recipe& recipe, std::int64_t total, Training& training,
                           const Context& context) {
  const auto snapshot = find_snapshot(
      run.files(), [&](const std::string& text) { context.log->warn(text); }, check_state);
  if (!snapshot) return std::nullopt;
  const NamedTensors tensors = read_snapshot_tensors(*snapshot);
  restore(tensors, "weights.", training.masters.views);
  restore(tensors, "first_moment.", training.adamw.first_moment.views);
  restore(tensors, "second_moment.", training.adamw.second_moment.views);
  round_masters(training);
  training.steps = snapshot->step;
  if (const int threads = snapshot->state.value("threads", at::get_num_threads()); threads != at::get_num_threads()) {
    context.log->warn(
        fmt::format("the run began with {} threads and goes on with {}: the last bits of its numbers may differ",
                    threads, at::get_num_threads()));
  }
  context.log->info(fmt::format("goes on after step {}", training.steps));
  say_other_length(recipe, training.steps, snapshot->state.value("total_steps", total), total, context);
  return best_so_far(snapshot->state, recipe, context);
}

// A step that was not applied. Before the first one nothing was learnt that could have diverged: it is the model.
[[noreturn]] void not_finite(const Recipe& recipe, const Training& training, const StepResult& step) {
  const std::string found = fmt::format("loss {}, gradient norm {}", step.loss, step.gradient_norm);
  if (training.steps == 0) {
    fail(ExitCode::model, {.what = "the model's loss or its gradient is not finite before anything was trained",
                           .where = recipe.model.path.empty() ? "model.init" : recipe.model.path,
                           .found = found,
                           .advice = beyond_range});
  }
  fail(ExitCode::diverged,
       {.what = "training diverged: the loss or its gradient is not finite; nothing of this step was applied",
        .where = fmt::format("step {}", training.steps + 1),
        .found = found,
        .advice = "lower optimizer.learning_rate, or add schedule.warmup_steps"});
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
  const auto& keep_best = recipe.checkpoint.keep_best;
  const StepOptions options{recipe.optimizer, recipe.schedule, total, recipe.train.micro_batch_tokens};
  for (const std::string& warning : schedule_warnings(recipe.optimizer, recipe.schedule, total))
    context.log->warn(warning);

  Training training = make_training(config, std::move(weights), compute_dtype(recipe.precision),
                                    [&](const std::string& name) { return !recipe.lora || is_trained_by_lora(name); });
  std::optional<Best> best = resume(run, recipe, total, training, context);
  // Found after a step, it would cost that step. A damaged checkpoint is made again.
  refuse_foreign_checkpoints(run.files(), false, total);
  std::int64_t saved_step = training.steps;
  MetricsFile metrics(run.files().grow("metrics.jsonl"));
  metrics.cut_back(training.steps);
  Order order(static_cast<std::uint64_t>(recipe.seed), count, recipe.data.shuffle);
  Progress progress("training", "steps", total, standard_error_progress(context.quiet), training.steps);

  const auto save = [&] {
    metrics.sync();
    publish_snapshot(run.files(), training.steps,
                     with_prefix("second_moment.", training.adamw.second_moment.views,
                                 with_prefix("first_moment.", training.adamw.first_moment.views,
                                             with_prefix("weights.", training.masters.views, {}))),
                     state_json(training, best, recipe, total));
    saved_step = training.steps;
    prune_snapshots(run.files(), recipe.checkpoint.keep, best ? std::optional(best->step) : std::nullopt);
  };
  const auto validate = [&] {
    const Metrics validation = task.validate(training.model);
    metrics.write(training.steps, validation);
    std::string line = fmt::format("step {}/{}", training.steps, total);
    for (const auto& [name, value] : validation) {
      if (std::ranges::count(name, '/') == 1)
        line += fmt::format("  {} {:.4g}", name, value);  // per attribute: metrics.jsonl has them
    }
    context.log->info(line);
    if (!keep_best) return;
    const auto metric = std::ranges::find(validation, keep_best->metric, &Metrics::value_type::first);
    if (metric == validation.end()) throw std::logic_error("validation lacks a metric that check_keep_best knows");
    const bool better =
        !best || (keep_best->mode == MetricMode::min ? metric->second < best->value : metric->second > best->value);
    if (better && std::isfinite(metric->second)) {
      best = {training.steps, metric->second};
      save();
    }
  };

  while (training.steps < total) {
    const Clock::time_point step_begin = Clock::now();
    // The examples of step s are items s*B … of the endless sequence of seeded permutations: the step is the whole data
    // position.
    const auto [first, size] = step_positions(training.steps, count, recipe.train.batch_size);
    std::vector<const Example*> step_examples;
    for (std::int64_t i = first; i < first + size; ++i) step_examples.push_back(&examples[order.item_at(i)]);
    const StepResult step = train_step(training, step_examples, task.loss, options);
    if (!step.applied) not_finite(recipe, training, step);
    const double tokens_per_second = static_cast<double>(step.tokens) / seconds_since(step_begin);
    metrics.write(training.steps, {{"train/loss", step.loss},
                                   {"train/learning_rate", step.learning_rate},
                                   {"train/grad_norm", step.gradient_norm},
                                   {"train/tokens_per_second", tokens_per_second},
                                   {"train/target_tokens", static_cast<double>(step.targets)}});
    progress.update(training.steps, fmt::format("loss {:.4f}  {:.0f} tok/s", step.loss, tokens_per_second));

    const bool last = training.steps == total;
    const std::int64_t every = recipe.evaluate.every_steps > 0 ? recipe.evaluate.every_steps : epoch_steps;
    if (task.validate && (training.steps % every == 0 || last)) validate();
    const bool time_is_up = recipe.train.max_minutes > 0 && seconds_since(begin) >= 60 * recipe.train.max_minutes;
    const bool stopping = (stop_requested() || time_is_up) && !last;
    if (saved_step != training.steps && (training.steps % recipe.checkpoint.every_steps == 0 || last || stopping))
      save();
    if (stopping) {
      context.log->info(fmt::format("stopped {} after step {} of {}; everything is saved, the same command goes on",
                                    time_is_up ? "by train.max_minutes" : "on request", training.steps, total));
      return {.outcome = Outcome::stopped};
    }
  }
  progress.finish();

  FitResult result{.weights = training.masters.views, .steps = total, .weights_step = total};
  if (keep_best && !best) {
    context.log->warn(
        fmt::format("{} was never a finite number: model/ gets the weights of the last step", keep_best->metric));
  } else if (keep_best && best->step != total) {
    Snapshot snapshot{best->step, run.checkpoints() / ("step-" + std::to_string(best->step)), {}};
    restore(read_snapshot_tensors(snapshot), "weights.", result.weights);
    result.weights_step = best->step;
    context.log->info(
        fmt::format("model/ gets the weights of step {}: {} {:.4g}", best->step, keep_best->metric, best->value));
  }
  return result;
}

}  // namespace steerlm
