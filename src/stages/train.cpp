#include "stages/train.h"

#include <ATen/ops/mm.h>
#include <ATen/ops/ones.h>
#include <fmt/format.h>

#include <chrono>
#include <cmath>
#include <sstream>

#include "steerlm/data/packer.h"
#include "steerlm/nn/cost.h"
#include "steerlm/report/table.h"
#include "steerlm/train/losses.h"

namespace steerlm {
namespace {

// Floating-point operations a second of a 512-cubed product here, which is what training is limited by.
double matmul_flops_per_second() {
  const at::Tensor a = at::ones({512, 512});
  at::mm(a, a);
  const auto begin = std::chrono::steady_clock::now();
  for (int i = 0; i < 8; ++i) at::mm(a, a);
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return 8 * 2 * std::pow(512.0, 3) / seconds;
}

ModelCard::Part card_part(const DatasetCounts& counts) {
  return {.conversations = counts.conversations, .tokens = counts.tokens, .targets = counts.target_tokens};
}

// What the run's metrics say of the validation at a step: a process that goes on after it has not made it itself.
Metrics validation_at(const Path& file, std::int64_t step) {
  Metrics metrics;
  std::istringstream lines(read_file(file, ExitCode::resources, "metrics"));
  for (std::string line; std::getline(lines, line);) {
    const Json json = parse_json(line, file.string(), ExitCode::resources);
    if (json.at("step") != step) continue;
    for (const auto& [name, value] : json.items()) {
      if (name.starts_with("validation/"))
        metrics.emplace_back(name, value.is_number() ? value.get<double>() : std::nan(""));
    }
  }
  return metrics;
}

// Masters, gradients and moments of what is trained, and with LoRA one copy of the rest.
std::int64_t state_bytes(const BaseModel& base, bool bf16) {
  if (!base.adapter) return train_state_bytes(base.folder.config, base.head, bf16);
  std::int64_t trained = 0, frozen = 0;
  for_each_parameter(base.weights, [&](const std::string& name, const at::Tensor& tensor) {
    (is_trained_by_lora(name) ? trained : frozen) += tensor.numel();
  });
  return trained * (4 * 4 + (bf16 ? 2 : 0)) + frozen * (bf16 ? 2 : 4);
}

}  // namespace

DataOptions within_context(DataOptions data, const ModelConfig& config, const Context& context) {
  if (data.max_tokens <= config.context_length()) return data;
  context.log->info(
      fmt::format("data.max_tokens {} is more than the model's context: conversations are limited to {} tokens",
                  data.max_tokens, config.context_length()));
  data.max_tokens = config.context_length();
  return data;
}

void report_dataset(const Dataset& dataset, const Recipe& recipe, const Context& context) {
  context.log->info("training data: " + describe(dataset.train_counts));
  const bool wanted = !recipe.data.validation.empty() || recipe.data.validation_fraction > 0;
  if (!wanted) return;
  if (dataset.validation.empty()) {
    context.log->warn("the validation part is empty: nothing is validated");
  } else {
    context.log->info("validation data: " + describe(dataset.validation_counts));
  }
}

void report_forecast(const Recipe& recipe, const BaseModel& base, const Dataset& dataset, const Context& context) {
  const std::int64_t examples = static_cast<std::int64_t>(dataset.train.size());
  const std::int64_t steps = total_steps(recipe, examples);
  const double mean_length =
      static_cast<double>(dataset.train_counts.tokens) / static_cast<double>(std::max<std::int64_t>(1, examples));
  const double tokens = static_cast<double>(steps * recipe.train.batch_size) * mean_length;
  const bool bf16 = recipe.precision == Precision::bf16;
  // A step reaches about 40 % of a large product's speed: attention, norms and small products take the rest.
  // With LoRA the frozen weights get no gradient: two of three products are left.
  const double share = base.adapter ? 2.0 / 3 : 1;
  const double flops = share * train_flops_per_token(base.folder.config, base.head, mean_length);
  const double seconds = tokens * flops / (0.4 * matmul_flops_per_second());
  const std::int64_t longest = std::max(recipe.train.micro_batch_tokens, dataset.train_counts.longest);
  const std::int64_t memory = state_bytes(base, bf16) + activation_bytes(base.folder.config, longest, bf16);
  context.log->info(fmt::format("forecast: {} steps, {} tokens, {} parameters, about {} here, about {} of memory",
                                format_count(steps), format_count(static_cast<std::int64_t>(tokens)),
                                format_count(count_parameters(base.folder.config, base.head)), format_duration(seconds),
                                format_bytes(memory)));
}

Metrics validate_language_model(const Transformer& model, const std::vector<Example>& examples,
                                std::int64_t batch_tokens) {
  std::vector<std::int64_t> lengths;
  for (const Example& example : examples) lengths.push_back(static_cast<std::int64_t>(example.ids.size()));
  LossSum total;
  for (const std::vector<size_t>& members : pack(lengths, batch_tokens)) {
    std::vector<const Example*> batch;
    for (size_t member : members) batch.push_back(&examples[member]);
    const LossSum loss = language_model_loss(model, make_batch(batch));
    total.sum += loss.sum;
    total.count += loss.count;
  }
  const double loss = total.sum / total.count;
  return {{"validation/loss", loss}, {"validation/perplexity", std::exp(loss)}};
}

Outcome train_and_publish(const Recipe& recipe, RunDirectory& run, BaseModel base, const Dataset& dataset,
                          const FitTask& task, const Context& context) {
  const FitResult result = fit(recipe, run, base.folder.config, std::move(base.weights), task, context);
  if (result.outcome == Outcome::stopped) return Outcome::stopped;
  const ModelCard card{.adapter = base.adapter.has_value(),
                       .predictor = recipe.stage == Stage::train_predictor,
                       .base_model = recipe.model.path,
                       .steps = result.weights_step,
                       .training = card_part(dataset.train_counts),
                       .validation = card_part(dataset.validation_counts),
                       .metrics = validation_at(run.path() / "metrics.jsonl", result.weights_step)};
  const NamedTensors tensors = to_named_tensors(result.weights);
  run.files().write_folder("model", true, [&](const Path& part) {
    if (base.adapter)
      write_adapter_folder(part, base.folder, *base.adapter, tensors, base.tokenizer, card);
    else
      write_model_folder(part, base.folder, tensors, base.tokenizer, default_max_shard_bytes, card);
  });
  Json summary = {{"steps", result.steps}};
  for (const auto& [name, value] : result.validation) summary[name] = value;
  run.finish(summary);
  context.log->info("the model is in " + run.model().string());
  return Outcome::done;
}

}  // namespace steerlm
