// steerlm model init.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "cli/inference_options.h"
#include "cli/model_commands.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/cost.h"
#include "steerlm/nn/init.h"

namespace steerlm {
namespace {

struct InitArguments {
  std::string output;
  std::string tokenizer;
  std::int64_t seed = 1234;
  ModelConfig config;
  std::string max_shard_size;
  bool overwrite = false;
};

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

int init(InitArguments arguments) {
  CheckRanges ranges;
  arguments.config.fields(ranges);
  if (!ranges.faults.empty()) throw Error(ExitCode::recipe, ranges.faults);
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output =
      check_output_folder(arguments.output, {.overwrite = arguments.overwrite, .inputs = {arguments.tokenizer}});
  const Tokenizer tokenizer = Tokenizer::load(arguments.tokenizer);
  print_notes(tokenizer.notes());
  ModelFolder folder;
  folder.config = complete_config(arguments.config, tokenizer.vocab_size(), 0);
  check_model_config(folder.config, "model init");
  const HeadShape head{.language_model = true};
  make_output_folder(output, [&](const Path& path) {
    write_model_folder(path, folder, init_parameters(folder.config, head, static_cast<std::uint64_t>(arguments.seed)),
                       tokenizer, max_shard_bytes, ModelCard{});
  });
  std::cerr << arguments.output << ": a fresh language model of " << count_parameters(folder.config, head)
            << " parameters\n";
  return 0;
}

}  // namespace

void add_model_init(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<InitArguments>();
  CLI::App* command = group.add_subcommand("init", "Make a model folder with fresh weights");
  command->add_option("--output", arguments->output, "the model folder to make")->required();
  add_overwrite(*command, arguments->overwrite);
  command->add_option("--tokenizer", arguments->tokenizer, "sentencepiece model file, or a folder that holds one")
      ->required();
  command->add_option("--seed", arguments->seed, "seed of the weights")->capture_default_str();
  AddOptions add_options{command};
  arguments->config.fields(add_options);
  add_shard_size(*command, arguments->max_shard_size);
  command->callback([&invocation, arguments] { invocation.action = [arguments] { return init(*arguments); }; });
}

}  // namespace steerlm
