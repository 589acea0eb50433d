#include "stages/fit.h"

#include <ATen/Parallel.h>
#include <c10/util/Exception.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <utility>

#include "stages/memory.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/order.h"
#include "steerlm/eval/intervals.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/nn/cards.h"
#include "steerlm/nn/cost.h"
#include "steerlm/optim/schedule.h"
#include "steerlm/report/metrics.h"
#include "steerlm/report/progress.h"
#include "steerlm/stages/base_model.h"
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
Json state_json(const Training& training, const std::optional<Best>& best, const Recipe& recipe,
                const StepOptions& options) {
  Json json = {{"step", training.steps},
               {"total_steps", options.total_steps},
               {"micro_batch_tokens", options.micro_batch_tokens},
               {"threads", at::get_num_threads()},
               {"device", device_name(training.model.device())}};
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
  if (state.contains("micro_batch_tokens")) {
    const Json& tokens = state["micro_batch_tokens"];
    require(tokens.is_number_unsigned() && tokens > 0 && tokens <= INT64_MAX, "micro_batch_tokens");
  }
  require(!state.contains("device") || state["device"].is_string(), "device");
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

// Also takes the micro-batches that the run began with, or has halved since: other ones give other last bits.
std::optional<Best> resume(RunDirectory& run, const Recipe& recipe, Training& training, StepOptions& options,
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
  const bool may_differ = training.model.device().is_cpu() && !rows_are_independent(training.copy.flat.scalar_type());
  if (const int threads = snapshot->state.value("threads", at::get_num_threads());
      may_differ && threads != at::get_num_threads()) {
    context.log->warn(
        fmt::format("the run began with {} threads and goes on with {}: the last bits of its numbers may differ",
                    threads, at::get_num_threads()));
  }
  const std::string device = device_name(training.model.device());
  if (const std::string before = snapshot->state.value("device", std::string("cpu")); before == device) {
    options.micro_batch_tokens = snapshot->state.value("micro_batch_tokens", options.micro_batch_tokens);
  } else {
    context.log->warn(
        fmt::format("the run began on {} and goes on on {}: the last bits of its numbers may differ", before, device));
  }
  context.log->info(fmt::format("goes on after step {}", training.steps));
  const std::int64_t total = options.total_steps;
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

// The input of a step with the examples that it points to, also after both were moved.
struct PreparedStep {
  std::vector<Example> examples;
  StepInput input;
};

// A step, and again in smaller micro-batches where the memory of the GPU does not suffice: up to the update, which
// takes none, nothing but the gradients has changed. What is halved stays so.
template <class Prepare>
PendingStep enqueue_within_memory(Training& training, PreparedStep& step, const Loss& loss, StepOptions& options,
                                  const Prepare& prepare, const Context& context) {
  for (;;) {
    try {
      return enqueue_step(training, step.input, loss, options);
    } catch (const c10::OutOfMemoryError&) {
    }
    // A sequence, or a pair, is never cut: where the largest micro-batch is a single one there is nothing to halve.
    std::int64_t largest = 0;
    size_t sequences = 0;
    for (const PackedBatch& batch : step.input.micro_batches) {
      if (batch.tokens.ids_n.numel() <= largest) continue;
      largest = batch.tokens.ids_n.numel();
      sequences = batch.tokens.sequences.cu_seqlens.size() - 1;
    }
    if (sequences <= (loss.whole_groups ? 2u : 1u)) {
      const std::string single = loss.whole_groups ? "pair" : "sequence";
      fail(ExitCode::resources, {.what = "a step does not fit in the memory of the GPU, one " + single + " at a time",
                                 .where = fmt::format("step {}", training.steps + 1),
                                 .found = fmt::format("a {} of {} tokens", single, largest),
                                 .advice = "set train.recompute: block and give the same command again; or make "
                                           "data.max_tokens smaller, with --fresh"});
    }
    options.micro_batch_tokens = largest / 2;
    context.log->warn(
        fmt::format("step {} does not fit in the memory of the GPU with {} tokens at once: it goes on with "
                    "train.micro_batch_tokens {}; the last bits may differ",
                    training.steps + 1, largest, options.micro_batch_tokens));
    step = {};
    release_free_memory(training.model.device());
    step = prepare(training.steps);
  }
}

// Tokens of the first `steps` steps.
double tokens_of_steps(std::int64_t steps, const ExampleSet& examples, const ExampleGroups& groups, Order& order,
                       std::int64_t batch_size) {
  const auto count = static_cast<std::int64_t>(groups.size());
  const auto tokens_of = [&](std::int64_t item) {
    const ExampleGroup group = groups[static_cast<size_t>(item)];
    std::int64_t tokens = 0;
    for (size_t e = group.first; e < group.first + group.size; ++e) tokens += examples.length(e);
    return tokens;
  };
  std::int64_t epoch = 0, rest = 0;
  for (std::int64_t item = 0; item < count; ++item) epoch += tokens_of(item);
  const std::int64_t visited = step_positions(steps, count, batch_size).first, whole_epochs = visited / count;
  for (std::int64_t i = whole_epochs * count; i < visited; ++i) rest += tokens_of(order.item_at(i));
  return static_cast<double>(whole_epochs) * static_cast<double>(epoch) + static_cast<double>(rest);
}

void tell_computing(const Computing& computing, const StepOptions& options, const Context& context) {
  context.log->info(fmt::format(
      "computes on {} in {}{}", device_name(computing.device), enum_name(computing.precision),
      options.thread_tokens > 0 ? fmt::format(", each thread micro-batches of about {} tokens", options.thread_tokens)
                                : ""));
  if (computing.device.is_cpu() && computing.precision == Precision::bf16 && !has_bf16_products())
    context.log->warn("precision: bf16 is slower than fp32 on this processor, which has no AVX512-BF16 and no AMX");
}

// How fast a step was: tokens a second, and floating-point operations of the model a second.
struct StepSpeed {
  double tokens = 0, flops = 0;
};

// `peak_flops`: what the card's maker prints; 0: not known.
std::string describe(const StepSpeed& speed, double peak_flops) {
  std::string text = fmt::format("{:.0f} tok/s", speed.tokens);
  if (peak_flops > 0)
    text += fmt::format("  {:.1f} TFLOP/s, {:.1f} % of the peak", speed.flops / 1e12, 100 * speed.flops / peak_flops);
  return text;
}

Metrics metrics_of(const StepResult& step, const StepSpeed& speed, const Loss& loss, const at::Device& device,
                   double peak_flops) {
  Metrics metrics{{"train/loss", step.loss},
                  {"train/learning_rate", step.learning_rate},
                  {"train/grad_norm", step.gradient_norm},
                  {"train/tokens_per_second", speed.tokens},
                  {"train/flops_per_second", speed.flops},
                  {"train/target_tokens", static_cast<double>(step.targets)}};
  if (loss.weigh != nullptr) metrics.emplace_back("train/distance", step.distance);
  if (device.is_cuda()) metrics.emplace_back("train/peak_bytes", static_cast<double>(peak_tensor_bytes(device)));
  if (peak_flops > 0) metrics.emplace_back("train/mfu", speed.flops / peak_flops);
  return metrics;
}

// `flops`: FLOP/s of each step.
void tell_median_speed(std::vector<double> flops, double peak_flops, const Context& context) {
  if (flops.empty()) return;
  std::ranges::sort(flops);
  const double median = quantile(flops, 0.5);
  const std::string share =
      peak_flops > 0 ? fmt::format(", {:.1f} % of the card's printed peak", 100 * median / peak_flops) : "";
  context.log->info(fmt::format("the median step computed {:.3g} TFLOP/s of the model{}", median / 1e12, share));
}

// With keep_best the weights of the best validation, if they are not the last step's, in the place of the last step's.
void take_best(const RunDirectory& run, const KeepBestOptions& keep_best, const std::optional<Best>& best,
               FitResult& result, const Context& context) {
  if (!best) {
    context.log->warn(
        fmt::format("{} was never a finite number: model/ gets the weights of the last step", keep_best.metric));
    return;
  }
  if (best->step == result.steps) return;
  const Snapshot snapshot{best->step, run.checkpoints() / ("step-" + std::to_string(best->step)), {}};
  restore(read_snapshot_tensors(snapshot), "weights.", result.weights);
  result.weights_step = best->step;
  context.log->info(
      fmt::format("model/ gets the weights of step {}: {} {:.4g}", best->step, keep_best.metric, best->value));
}

}  // namespace

std::int64_t total_steps(const Recipe& recipe, std::int64_t groups) {
  return recipe.train.steps ? *recipe.train.steps
                            : recipe.train.epochs.value_or(1) * steps_per_epoch(groups, recipe.train.batch_size);
}

FitResult fit(const Recipe& recipe, RunDirectory& run, const ModelConfig& config, Parameters weights,
              const FitTask& task, const Context& context) {
  const Clock::time_point begin = Clock::now();
  const ExampleSet& examples = *task.examples;
  const ExampleGroups groups(examples);
  const std::int64_t count = static_cast<std::int64_t>(groups.size());
  const std::int64_t total = total_steps(recipe, count);
  const std::int64_t epoch_steps = steps_per_epoch(count, recipe.train.batch_size);
  const auto& keep_best = recipe.checkpoint.keep_best;
  StepOptions options{recipe.optimizer, recipe.schedule, total, recipe.train.micro_batch_tokens,
                      recipe.train.recompute == Recompute::block};
  for (const std::string& warning : schedule_warnings(recipe.optimizer, recipe.schedule, total))
    context.log->warn(warning);

  const Computing computing = computing_of(recipe);
  check_computable(config, computing.device, recipe.model.path.empty() ? "model.init" : recipe.model.path);
  enter_device(computing.device);
  const bool automatic = options.micro_batch_tokens == 0;
  if (automatic)
    options.micro_batch_tokens =
        choose_micro_batch_tokens(recipe, {recipe, config, weights, computing}, examples, free_bytes(computing.device));
  const HeadShape head{.language_model = !weights.score_ad.defined()};
  const double peak_flops = computing.device.is_cuda() ? printed_peak_flops(device_name(computing.device)) : 0;
  std::vector<double> speeds;  // FLOP/s of each step
  Training training = make_training(config, std::move(weights), compute_dtype(computing.precision), computing.device,
                                    [&](const std::string& name) { return !recipe.lora || is_trained_by_lora(name); });
  options.thread_tokens = thread_tokens_for(computing.device);
  tell_computing(computing, options, context);
  std::optional<Best> best = resume(run, recipe, training, options, context);
  if (automatic) context.log->info(fmt::format("train.micro_batch_tokens: auto takes {}", options.micro_batch_tokens));
  // Found after a step, it would cost that step. A damaged checkpoint is made again.
  refuse_foreign_checkpoints(run.files(), false, total);
  std::int64_t saved_step = training.steps;
  MetricsFile metrics(run.files().grow("metrics.jsonl"));
  metrics.cut_back(training.steps);
  Order order(static_cast<std::uint64_t>(recipe.seed), count, recipe.data.shuffle);
  const std::int64_t every = recipe.evaluate.every_steps > 0 ? recipe.evaluate.every_steps : epoch_steps;
  // By what takes the time: the tokens of the steps, and those of the validations, whose forward pass is a third of the
  // work of a step.
  const auto validation_work = [&](std::int64_t steps) {
    const std::int64_t last_too = steps == total && total % every != 0 ? 1 : 0, validations = steps / every + last_too;
    return static_cast<double>(validations) * static_cast<double>(task.validation_tokens) / 3;
  };
  const std::int64_t batch_size = recipe.train.batch_size;
  const double all_work = tokens_of_steps(total, examples, groups, order, batch_size) + validation_work(total);
  const double tokens_before = tokens_of_steps(training.steps, examples, groups, order, batch_size);
  std::int64_t sequences = 0, tokens = 0;  // trained by this process
  Progress progress("training", "steps", total, progress_output(context), training.steps);
  const auto tell_share = [&](std::int64_t validated_steps) {
    progress.share((tokens_before + static_cast<double>(tokens) + validation_work(validated_steps)) / all_work);
  };
  tell_share(training.steps);
  const Clock::time_point first_step = Clock::now();

  const auto save = [&] {
    metrics.sync();
    publish_snapshot(run.files(), training.steps,
                     with_prefix("second_moment.", training.adamw.second_moment.views,
                                 with_prefix("first_moment.", training.adamw.first_moment.views,
                                             with_prefix("weights.", training.masters.views, {}))),
                     state_json(training, best, recipe, options));
    saved_step = training.steps;
    prune_snapshots(run.files(), recipe.checkpoint.keep, best ? std::optional(best->step) : std::nullopt);
  };
  const auto validate = [&] {
    const Metrics validation = task.validate(training.model, options.micro_batch_tokens);
    metrics.write(training.steps, validation);
    std::string line = fmt::format("step {}/{}", training.steps, total);
    for (const auto& [name, value] : validation) {
      if (std::ranges::count(name, '/') == 1)
        line += fmt::format("  {} {:.4g}", name, value);  // per attribute: metrics.jsonl has them
    }
    context.log->info(line);
    if (!keep_best) return;
    const double value = kept_metric(*keep_best, validation);
    const bool better = !best || (keep_best->mode == MetricMode::min ? value < best->value : value > best->value);
    if (better && std::isfinite(value)) {
      best = {training.steps, value};
      save();
    }
  };

  // The examples of step s are those of the groups s*B … of the endless sequence of seeded permutations: the step is
  // the whole data position.
  const auto prepare = [&](std::int64_t steps_before) {
    const auto [first, size] = step_positions(steps_before, count, recipe.train.batch_size);
    PreparedStep step;
    for (std::int64_t i = first; i < first + size; ++i) {
      const ExampleGroup group = groups[static_cast<size_t>(order.item_at(i))];
      for (size_t e = group.first; e < group.first + group.size; ++e) step.examples.push_back(examples[e]);
    }
    step.input = prepare_step(training.model, pointers_to(step.examples), task.loss, options);
    return step;
  };
  PreparedStep next;
  if (training.steps < total) next = prepare(training.steps);
  while (training.steps < total) {
    const Clock::time_point step_begin = Clock::now();
    const std::int64_t own_sequences = std::ssize(next.examples);
    const PendingStep pending = enqueue_within_memory(training, next, task.loss, options, prepare, context);
    if (training.steps + 1 < total) next = prepare(training.steps + 1);  // while a GPU computes this one
    const StepResult step = finish_step(training, pending);
    if (!step.applied) not_finite(recipe, training, step);
    const double seconds = seconds_since(step_begin);
    const StepSpeed speed{static_cast<double>(step.tokens) / seconds,
                          train_flops(config, head, static_cast<double>(step.tokens),
                                      static_cast<double>(step.squared_lengths), recipe.lora.has_value()) /
                              seconds};
    metrics.write(training.steps, metrics_of(step, speed, task.loss, computing.device, peak_flops));
    speeds.push_back(speed.flops);
    sequences += own_sequences;
    tokens += step.tokens;
    tell_share(training.steps - 1);
    const bool last = training.steps == total;
    // The last step's speed would stand in the line that is left, and that step may be a small one.
    progress.update(training.steps,
                    fmt::format("loss {:.4f}{}", step.loss, last ? "" : "  " + describe(speed, peak_flops)));

    if (task.validate && (training.steps % every == 0 || last)) {
      validate();
      tell_share(training.steps);
    }
    note_progress();
    const bool time_is_up = recipe.train.max_minutes > 0 && seconds_since(begin) >= 60 * recipe.train.max_minutes;
    const bool stopping = (stop_requested() || time_is_up) && !last;
    if (saved_step != training.steps && (training.steps % recipe.checkpoint.every_steps == 0 || last || stopping))
      save();
    if (stopping) {
      context.log->info(fmt::format("stopped {} after step {} of {}; everything is saved, the same command goes on",
                                    time_is_up ? "by train.max_minutes" : stop_reason(), training.steps, total));
      return {.outcome = Outcome::stopped};
    }
  }
  progress.finish();

  tell_throughput(context, sequences, tokens, seconds_since(first_step));
  tell_median_speed(std::move(speeds), peak_flops, context);
  FitResult result{.weights = training.masters.views, .steps = total, .weights_step = total};
  if (keep_best) take_best(run, *keep_best, best, result, context);
  return result;
}

}  // namespace steerlm
