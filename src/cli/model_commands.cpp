// steerlm model.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "steerlm/core/suggest.h"
#include "steerlm/hf/options.h"
#include "steerlm/text/template.h"

namespace steerlm {
namespace {

std::string option_name(std::string key) {
  std::replace(key.begin(), key.end(), '_', '-');
  return "--" + key;
}

// One option a key of model.init.
struct AddOptions {
  CLI::App* command;

  void operator()(const char* key, bool& value, const char* meaning) const {
    command->add_flag(option_name(key), value, meaning);
  }
  template <class T>
  void operator()(const char* key, T& value, Range, const char* meaning) const {
    // The recipe's text speaks of data.max_tokens, which a command does not have.
    if (std::string_view(key) == "max_position_embeddings") meaning = "longest context; 0: 4096";
    command->add_option(option_name(key), value, meaning)->capture_default_str();
  }
};

// The ranges of model.init; integers also stay where sums and products of them cannot overflow.
struct CheckRanges {
  std::vector<Fault> faults;

  void operator()(const char*, bool&, const char*) {}
  template <class T>
  void operator()(const char* key, T& value, Range range, const char*) {
    if constexpr (std::is_integral_v<T>) range.max = std::min(range.max, 1e9);
    const auto number = static_cast<double>(value);
    const bool inside =
        std::isfinite(number) && number >= range.min && number <= range.max && !(range.open_min && number == range.min);
    if (inside) return;
    faults.push_back({.what = option_name(key) + " is out of range",
                      .found = fmt::format("{}", value),
                      .expected = fmt::format("a number {} {}", range.open_min ? "above" : "from", range.min) +
                                  (std::isfinite(range.max) ? fmt::format(" to {:.0f}", range.max) : "")});
  }
};

void check_ranges(ModelInitArguments& arguments) {
  CheckRanges ranges;
  arguments.config.fields(ranges);
  if (!ranges.faults.empty()) throw Error(ExitCode::recipe, ranges.faults);
}

void add_model_init(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ModelInitArguments>();
  CLI::App* command = group.add_subcommand("init", "Make a model folder with fresh weights");
  command->add_option("--output", arguments->output, "the model folder to make")->required();
  add_overwrite(*command, arguments->overwrite);
  command->add_option("--tokenizer", arguments->tokenizer, "sentencepiece model file, or a folder that holds one")
      ->required();
  command->add_option("--seed", arguments->seed, "seed of the weights")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  AddOptions add_options{command};
  arguments->config.fields(add_options);
  add_shard_size(*command, arguments->max_shard_size);
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] {
      check_ranges(*arguments);
      return invocation.compute().model_init(*arguments);
    };
  });
}

void add_model_info(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ModelInfoArguments>();
  CLI::App* command = group.add_subcommand("info", "Print what is in a model folder, as JSON");
  command->add_option("--model", arguments->model, "model folder")->required();
  add_template_option(*command, arguments->text_template);
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().model_info(*arguments); };
  });
}

CLI::App* add_copy_command(CLI::App& group, const char* name, const char* meaning, ModelCopyArguments& arguments) {
  CLI::App* command = group.add_subcommand(name, meaning);
  command->add_option("--model", arguments.model, "model folder")->required();
  command->add_option("--output", arguments.output, "the model folder to make")->required();
  add_overwrite(*command, arguments.overwrite);
  add_shard_size(*command, arguments.max_shard_size);
  return command;
}

void add_model_export(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ModelCopyArguments>();
  CLI::App* command = add_copy_command(group, "export", "Write a model folder in another dtype", *arguments);
  command->add_option("--dtype", arguments->dtype, join(supported_dtypes(), ", "))->required();
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().model_export(*arguments); };
  });
}

void add_model_merge(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ModelCopyArguments>();
  CLI::App* command =
      add_copy_command(group, "merge", "Write a LoRA adapter and its base as one model folder", *arguments);
  command->add_option("--base", arguments->base,
                      "the folder that it adapts; default: the one that adapter_config.json names");
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().model_merge(*arguments); };
  });
}

void add_model_add_tokens(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ModelCopyArguments>();
  arguments->tokens = join({std::string(system_marker), std::string(turn_marker), std::string(label_marker)}, ",");
  CLI::App* command =
      add_copy_command(group, "add-tokens", "Write a model folder with more special tokens", *arguments);
  command->add_option("--tokens", arguments->tokens, "the tokens, with commas between them")->capture_default_str();
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().model_add_tokens(*arguments); };
  });
}

void add_model_import(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ModelImportArguments>();
  CLI::App* command = group.add_subcommand("import", "Make a model folder of a GGUF file of llama.cpp");
  command->add_option("--gguf", arguments->gguf, "GGUF file of a llama, qwen2 or qwen3 model")->required();
  command->add_option("--output", arguments->output, "the model folder to make")->required();
  command->add_option("--dtype", arguments->dtype, "of the weights: " + join(supported_dtypes(), ", "))
      ->capture_default_str();
  add_overwrite(*command, arguments->overwrite);
  add_shard_size(*command, arguments->max_shard_size);
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().model_import(*arguments); };
  });
}

}  // namespace

void add_model_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("model", "Make, change and describe model folders");
  group->require_subcommand(1);
  add_model_init(*group, invocation);
  add_model_info(*group, invocation);
  add_model_export(*group, invocation);
  add_model_add_tokens(*group, invocation);
  add_model_merge(*group, invocation);
  add_model_import(*group, invocation);
}

}  // namespace steerlm
