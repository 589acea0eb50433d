#include "stages/train.h"

#include <ATen/ops/ones.h>
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <functional>
#include <numeric>
#include <set>
#include <sstream>

#include "stages/memory.h"
#include "stages/validation_metrics.h"
#include "steerlm/core/disk.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/order.h"
#include "steerlm/data/packer.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/split.h"
#include "steerlm/hf/dtype.h"
#include "steerlm/kernels/device.h"
#include "steerlm/kernels/finite.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/nn/cost.h"
#include "steerlm/optim/schedule.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"
#include "steerlm/train/losses.h"

namespace steerlm {
namespace {

// Floating-point operations a second of a 512-cubed product here, 4,096-cubed on a GPU, which is what training is
// limited by.
double matmul_flops_per_second(const Computing& computing) {
  const std::int64_t size = computing.device.is_cuda() ? 4096 : 512;
  const at::Tensor a =
      at::ones({size, size}, at::TensorOptions(compute_dtype(computing.precision)).device(computing.device));
  at::Tensor product = linear_forward(a, a);
  const auto wait = [&] { return product.view(-1)[0].item<float>(); };
  wait();
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) product = linear_forward(a, a);
  wait();
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return 8 * 2 * std::pow(static_cast<double>(size), 3) / seconds;
}

// What the run's metrics say of the validation at a step: of the weights that are written, whichever process made it.
Metrics validation_at(const Path& file, std::int64_t step) {
  Metrics metrics;
  std::istringstream lines(read_file(file, ExitCode::resources, "metrics"));
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line, file.string(), ExitCode::resources);
    if (!json.is_object() || !json.contains("step") || json["step"] != step) continue;
    for (const auto& [name, value] : json.items()) {
      if (name.starts_with("validation/"))
        metrics.emplace_back(name, value.is_number() ? value.get<double>() : std::nan(""));
    }
  }
  return metrics;
}

// Nothing where records of both kinds were trained on.
std::optional<Writes> trained_to_write(const DatasetCounts& counts) {
  if (counts.label_examples == 0) return Writes::text;
  return counts.label_examples == counts.examples ? std::optional(Writes::labels) : std::nullopt;
}

}  // namespace

ModelCard::Part card_part(const DatasetCounts& counts) {
  return {.records = counts.conversations,
          .examples = counts.examples,
          .tokens = counts.tokens,
          .targets = counts.target_tokens};
}

void add_metrics(Json& summary, const Metrics& metrics) {
  for (const auto& [name, value] : metrics) summary[name] = number_or_null(value);
}

DataOptions within_context(DataOptions data, const ModelConfig& config, const Context& context) {
  if (data.max_tokens <= config.context_length()) return data;
  context.log->info(
      fmt::format("data.max_tokens {} is more than the model's context: conversations are limited to {} tokens",
                  data.max_tokens, config.context_length()));
  data.max_tokens = config.context_length();
  return data;
}

void refuse_empty_validation() {
  fail(ExitCode::recipe, {.what = "'checkpoint.keep_best' needs validation data, and the validation part is empty",
                          .where = "checkpoint.keep_best",
                          .advice = "give data.validation, or a larger data.validation_fraction"});
}

void check_split(const Recipe& recipe, std::span<const std::string> dialogues) {
  const double fraction = recipe.data.validation_fraction;
  if (fraction == 0) return;
  const auto held_out =
      std::ranges::count_if(dialogues, [&](const std::string& dialogue) { return is_validation(dialogue, fraction); });
  if (held_out == 0 && recipe.checkpoint.keep_best) refuse_empty_validation();
  if (held_out < std::ssize(dialogues)) return;
  fail(ExitCode::data,
       {.what = "the training part of the data would be empty: the answers to all prompts are held out",
        .where = "data.validation_fraction",
        .found = fmt::format("{}, which holds out {} of {} prompts", fraction, held_out, dialogues.size()),
        .advice = "give more prompts, or a smaller data.validation_fraction"});
}

void report_dataset(const Dataset& dataset, const Recipe& recipe, const Context& context) {
  if (recipe.text_template.name != TemplateName::plain && !recipe.attributes.names.empty()) {
    context.log->info(fmt::format("attributes: {}, {} to {}", join(recipe.attributes.names), recipe.attributes.min,
                                  recipe.attributes.max));
  }
  context.log->info("training data: " + describe(dataset.train_counts));
  auto unobeyed = dataset.train_counts.unobeyed;
  for (const auto& [key, lines] : dataset.validation_counts.unobeyed) unobeyed[key] += lines;
  if (!unobeyed.empty())
    context.log->warn("the data has what other programs act on and this one does not: " + describe_unobeyed(unobeyed));
  const bool wanted = !recipe.data.validation.empty() || holds_out(recipe.data);
  if (!wanted) return;
  if (dataset.validation.empty() && recipe.checkpoint.keep_best) refuse_empty_validation();
  if (dataset.validation.empty()) {
    context.log->warn("the validation part is empty: nothing is validated");
  } else {
    context.log->info("validation data: " + describe(dataset.validation_counts));
  }
}

namespace {

// Where and how fast a training is forecast: here, or on the machine of the dry run.
struct ForecastSpeed {
  double flops = 0, slow_flops = 0;  // a second; 0: one figure alone
  std::string where;                 // "here", "on an h100, …"
};

// A step reaches about 40 % of a large product's speed here: attention, norms and small products take the rest. Of
// another machine the maker's peak is known, and what share of it a step reached on an H100 (docs/bench.md): 47 % of a
// model of 1.2 G parameters at 4,096 tokens, 27 % of one of 135 M at 1,024.
constexpr double share_of_product = 0.4, share_of_peak = 0.47, share_of_peak_small = 0.27;

ForecastSpeed forecast_speed(const Recipe& recipe, const Context& context) {
  if (!context.machine) return {share_of_product * matmul_flops_per_second(computing_of(recipe)), 0, "here"};
  const GpuCard& card = context.machine->card;
  return {share_of_peak * card.bf16_flops, share_of_peak_small * card.bf16_flops,
          fmt::format("on one {} in bf16 ({:.0f} to {:.0f} % of its maker's {:g} TFLOP/s)", card.name,
                      100 * share_of_peak_small, 100 * share_of_peak, card.bf16_flops / 1e12)};
}

std::string describe_time(double operations, const ForecastSpeed& speed) {
  std::string text = "about " + format_duration(operations / speed.flops);
  if (speed.slow_flops > 0) text += " to " + format_duration(operations / speed.slow_flops);
  return text + " " + speed.where;
}

void tell_idle_cards(const Context& context) {
  if (!context.machine || context.machine->cards == 1) return;
  context.log->warn(fmt::format(
      "a training computes on one card: {} of the {} would do nothing, and the forecast is for one. Other seeds, folds "
      "and shards can run beside it, each with its own device: cuda:N",
      context.machine->cards - 1, context.machine->cards));
}

std::int64_t weight_bytes(const Parameters& weights) {
  std::int64_t bytes = 0;
  for_each_parameter(weights, [&](const std::string&, const at::Tensor& tensor) {
    bytes += static_cast<std::int64_t>(tensor.nbytes());
  });
  return bytes;
}

// What of a training is on the disk at most. A checkpoint has weights, first and second moment in fp32 of what is
// trained; a new one is written before the oldest is removed, and the model is written beside all that are kept.
std::int64_t forecast_disk_bytes(const Recipe& recipe, const BaseModel& base, std::int64_t steps) {
  const ModelFolder& folder = base.folder;
  std::int64_t trained = count_parameters(folder.config, base.head);
  if (base.adapter) {
    trained = 0;
    for (const auto& [name, shape] : lora_shapes(folder.config, base.adapter->lora))
      trained += std::accumulate(shape.begin(), shape.end(), std::int64_t{1}, std::multiplies<>());
  }
  const std::int64_t every = recipe.checkpoint.every_steps, written = (steps + every - 1) / every,
                     best = recipe.checkpoint.keep_best ? 1 : 0;
  const std::int64_t kept = std::min(written, recipe.checkpoint.keep), while_saving = std::min(written, kept + 1);
  // In doubles: all checkpoints of a long run of a large model are more than 2^63 bytes.
  const double checkpoint = 12 * static_cast<double>(trained),
               model = static_cast<double>(trained) * static_cast<double>(c10::elementSize(scalar_type(folder.dtype)));
  const double most = std::max(static_cast<double>(while_saving + best) * checkpoint,
                               static_cast<double>(kept + best) * checkpoint + model);
  return static_cast<std::int64_t>(std::min(most, 0x1p62));
}

// What an earlier part of this run has taken of the disk is not asked for again.
void tell_small_disk(const Recipe& recipe, std::int64_t bytes, const Context& context) {
  const std::optional<std::int64_t> free = free_disk_bytes(recipe.run_dir);
  if (!free || bytes <= *free + disk_bytes_of(Path(recipe.run_dir) / "checkpoints")) return;
  context.log->warn(
      fmt::format("{}: {} of disk are free, and checkpoints and model take at most about {}. Less takes a smaller "
                  "checkpoint.keep ({}), or lora",
                  recipe.run_dir, format_bytes(*free), format_bytes(bytes), recipe.checkpoint.keep));
}

// What a process takes of a card before it has a tensor.
constexpr std::int64_t cuda_context_bytes = 600'000'000;

}  // namespace

void report_forecast(const Recipe& recipe, const BaseModel& base, const Dataset& dataset, const Context& context) {
  const std::int64_t examples = static_cast<std::int64_t>(dataset.train.size());
  const auto groups = static_cast<std::int64_t>(ExampleGroups(dataset.train).size());
  const std::int64_t steps = total_steps(recipe, groups);
  const double mean_length =
      static_cast<double>(dataset.train_counts.tokens) / static_cast<double>(std::max<std::int64_t>(1, examples));
  const double group_size = static_cast<double>(examples) / static_cast<double>(std::max<std::int64_t>(1, groups));
  // The last step of an epoch may be smaller.
  const std::int64_t visited = step_positions(steps, groups, recipe.train.batch_size).first;
  const double tokens = static_cast<double>(visited) * group_size * mean_length;
  // With LoRA the frozen weights get no gradient: two of three products are left.
  const double share = base.adapter ? 2.0 / 3 : 1;
  const double operations = tokens * share * train_flops_per_token(base.folder.config, base.head, mean_length);
  for (const std::string& warning : schedule_warnings(recipe.optimizer, recipe.schedule, steps))
    context.log->warn(warning);
  const Computing computing = computing_of(recipe);
  TrainSettings settings(recipe, base.folder.config, base.weights, computing);
  std::int64_t free = 0, besides = 0;
  // On a CPU the program, what it has read, and its libraries are in the same memory; the weights, which are in it
  // already, are counted with the training.
  std::int64_t resident = 0;
  std::string memory_of = computing.device.is_cuda() ? "of the GPU's memory" : "of memory";
  if (context.machine) {
    settings.work.multiprocessors = context.machine->card.multiprocessors;
    settings.work.bf16 = true;
    besides = cuda_context_bytes;
    free = context.machine->card.memory_bytes;
    memory_of = "of the card's memory";
  } else {
    free = free_bytes(computing.device);
    if (computing.device.is_cpu()) resident = resident_bytes() - weight_bytes(base.weights);
  }
  std::int64_t micro_batch_tokens = recipe.train.micro_batch_tokens;
  if (micro_batch_tokens == 0) {
    micro_batch_tokens = choose_micro_batch_tokens(recipe, settings, dataset.train, free - besides);
    context.log->info(fmt::format("train.micro_batch_tokens: auto would take {}", micro_batch_tokens));
  }
  const std::int64_t memory =
      forecast_bytes(recipe, settings, dataset.train, micro_batch_tokens).total() + besides + resident;
  const std::int64_t disk = forecast_disk_bytes(recipe, base, steps);
  context.log->info(fmt::format(
      "forecast: {} steps, {} tokens, {} parameters, {}, about {} {} ({} {}), at most {} of disk", format_count(steps),
      format_count(static_cast<std::int64_t>(tokens)), format_count(count_parameters(base.folder.config, base.head)),
      describe_time(operations, forecast_speed(recipe, context)), format_bytes(memory), memory_of, format_bytes(free),
      context.machine ? "is what it has" : "are free", format_bytes(disk)));
  if (!context.machine) tell_small_disk(recipe, disk, context);
  tell_idle_cards(context);
  if (context.machine && memory > free) {
    context.log->warn(fmt::format(
        "does not fit: {} has {} of memory, the training takes about {}. Less takes train.micro_batch_tokens: auto, "
        "train.recompute: block, or lora",
        context.machine->card.name, format_bytes(free), format_bytes(memory)));
  }
}

void report_features_forecast(const Recipe& recipe, const BaseModel& base, const std::vector<Example>& inputs,
                              const Context& context) {
  std::set<std::vector<std::int32_t>> distinct;  // of a tree several paths have a turn
  double tokens = 0;
  for (const Example& input : inputs) {
    if (distinct.insert(input.ids).second) tokens += static_cast<double>(input.ids.size());
  }
  // The forward alone, a third of a step.
  const double length = tokens / static_cast<double>(distinct.size());
  const double operations = tokens * train_flops_per_token(base.folder.config, base.head, length) / 3;
  context.log->info(fmt::format(
      "forecast: hidden states of {} answers, {} tokens, {} where none is kept of an earlier run",
      format_count(static_cast<std::int64_t>(distinct.size())), format_count(static_cast<std::int64_t>(tokens)),
      describe_time(operations, forecast_speed(recipe, context))));
  tell_idle_cards(context);
}

Metrics validate_language_model(const Transformer& model, const ExampleSet& examples, std::int64_t batch_tokens,
                                ExitCode not_finite, const std::function<bool()>& go_on) {
  at::Tensor sum;
  double count = 0;
  for (const std::vector<size_t>& members : pack(examples.lengths(), batch_tokens)) {
    if (go_on && !go_on()) return {};
    const std::vector<Example> batch = examples.read(members);
    const Batch packed = make_batch(pointers_to(batch));
    const at::Tensor batch_sum = language_model_loss(model, pack_batch(model, packed));
    sum = sum.defined() ? sum.add(batch_sum) : batch_sum;
    count += target_count(packed);
  }
  const double loss = *to_host(sum).const_data_ptr<double>() / count;
  if (!std::isfinite(loss)) {
    fail(not_finite, {.what = "the model's loss on the validation data is not finite",
                      .found = fmt::format("{}", loss),
                      .advice = beyond_range});
  }
  return language_model_metrics(loss);
}

std::optional<Json> train_and_write(const Recipe& recipe, RunDirectory& run, BaseModel base, const Dataset& dataset,
                                    const FitTask& task, const Context& context) {
  const auto groups = static_cast<std::int64_t>(ExampleGroups(dataset.train).size());
  tell_small_disk(recipe, forecast_disk_bytes(recipe, base, total_steps(recipe, groups)), context);
  const FitResult result = fit(recipe, run, base.folder.config, std::move(base.weights), task, context);
  if (result.outcome == Outcome::stopped) return std::nullopt;
  const Metrics validation = validation_at(run.path() / "metrics.jsonl", result.weights_step);
  const ModelCard card{.adapter = base.adapter.has_value(),
                       .predictor = recipe.stage == Stage::train_predictor,
                       .base_model = recipe.model.path,
                       .steps = result.weights_step,
                       .bad = static_cast<std::int64_t>(dataset.bad.size()),
                       .training = card_part(dataset.train_counts),
                       .validation = card_part(dataset.validation_counts),
                       .metrics = validation};
  if (base.folder.head.kind == HeadKind::language_model && result.weights_step > 0)
    base.folder.writes = trained_to_write(dataset.train_counts);
  const NamedTensors tensors = to_named_tensors(result.weights);
  run.files().write_folder("model", true, [&](const Path& part) {
    if (base.adapter)
      write_adapter_folder(part, base.folder, *base.adapter, tensors, base.tokenizer, card);
    else
      write_model_folder(part, base.folder, tensors, base.tokenizer, default_max_shard_bytes, card);
  });
  Json summary = {{"steps", result.steps}, {"weights_step", result.weights_step}, {"bad", dataset.bad.size()}};
  add_metrics(summary, validation);
  return summary;
}

void copy_model(RunDirectory& run, const Path& from) {
  run.files().write_folder("model", true, [&](const Path& part) {
    std::error_code error;
    std::filesystem::copy(from, part, std::filesystem::copy_options::recursive, error);
    if (error)
      fail(ExitCode::resources, {.what = "cannot copy the model: " + error.message(), .where = run.path().string()});
  });
}

void finish_training(RunDirectory& run, const Json& summary, const Context& context) {
  run.finish(summary);
  context.log->info("the model is in " + run.model().string());
}

}  // namespace steerlm
