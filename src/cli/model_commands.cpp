// steerlm model init, model info.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iostream>
#include <memory>
#include <string>
#include <type_traits>
#include <vector>

#include "cli/commands.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
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
    const bool inside = std::isfinite(number) && number >= range.min && number <= range.max &&
                        !(range.open_min && number == range.min);
    if (inside) return;
    faults.push_back(
        {.what = option_name(key) + " is out of range",
         .found = fmt::format("{}", value),
         .expected = fmt::format("a number {} {}", range.open_min ? "above" : "from", range.min) +
                     (std::isfinite(range.max) ? fmt::format(" to {:.0f}", range.max) : "")});
  }
};

struct DumpValues {
  Json json;

  template <class T, class... Rest>
  void operator()(const char* key, T& value, const Rest&...) {
    json[key] = value;
  }
};

int init(InitArguments arguments) {
  CheckRanges ranges;
  arguments.config.fields(ranges);
  if (!ranges.faults.empty()) throw Error(ExitCode::recipe, ranges.faults);
  if (!is_missing_or_empty_directory(arguments.output)) {
    fail(ExitCode::resources, {.what = "the output folder is not empty",
                               .where = arguments.output,
                               .advice = "choose another, or remove it"});
  }
  const Tokenizer tokenizer = Tokenizer::load(arguments.tokenizer);
  ModelFolder folder;
  folder.config = complete_config(arguments.config, tokenizer.vocab_size(), 0);
  check_model_config(folder.config, "model init");
  const HeadShape head{.language_model = true};
  write_model_folder(
      arguments.output, folder,
      init_parameters(folder.config, head, static_cast<std::uint64_t>(arguments.seed)), tokenizer,
      ModelCard{});
  std::cerr << arguments.output << ": a fresh language model of "
            << count_parameters(folder.config, head) << " parameters\n";
  return 0;
}

Json describe_files(const Path& path, std::uintmax_t& weight_bytes) {
  std::vector<Path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(path)) {
    if (entry.is_regular_file()) paths.push_back(entry.path());
  }
  std::sort(paths.begin(), paths.end());
  Json files = Json::object();
  for (const Path& file : paths) {
    const std::uintmax_t size = std::filesystem::file_size(file);
    if (file.extension() == ".safetensors") weight_bytes += size;
    files[file.filename().string()] = {{"size", size},
                                       {"sha256", sha256_file(file, ExitCode::model)}};
  }
  return files;
}

// One JSON object: what the folder says of itself, held against its weights and its tokenizer.
int info(const std::string& path) {
  const ModelFolder folder = open_model_folder(path);
  const Weights weights =
      folder.head.kind == HeadKind::regression ? Weights::regression : Weights::language_model;
  check_weights(folder, weights);
  const Tokenizer tokenizer = Tokenizer::load(path);
  check_vocabulary(folder, tokenizer);

  std::uintmax_t weight_bytes = 0;
  const Json files = describe_files(path, weight_bytes);
  Json json;
  json["path"] = path;
  json["head"]["kind"] = enum_name(folder.head.kind);
  if (weights == Weights::regression) json["head"]["bias"] = folder.head.bias;
  json["parameters"] = count_parameters(folder.config, head_shape(folder, weights));
  json["bytes"] = weight_bytes;
  json["dtype"] = folder.dtype;
  json["tokenizer_pieces"] = tokenizer.vocab_size();
  if (!folder.method.empty()) json["method"] = folder.method;
  json["attributes"] = nullptr;
  if (!folder.attributes.names.empty()) {
    json["attributes"] = {{"names", folder.attributes.names},
                          {"min", folder.attributes.min},
                          {"max", folder.attributes.max},
                          {"defaults", folder.attributes.defaults}};
  }
  json["template"] = {{"name", enum_name(folder.text_template.name)},
                      {"special_tokens", enum_name(folder.text_template.special_tokens)},
                      {"system", folder.text_template.system},
                      {"sha256", make_template(folder, tokenizer).sha256()}};
  DumpValues config;
  ModelConfig values = folder.config;
  values.fields(config);
  json["config"] = config.json;
  json["files"] = files;
  std::cout << json.dump(2) << "\n";
  return 0;
}

}  // namespace

void add_model_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("model", "Make model folders and say what is in them");
  group->require_subcommand(1);

  const auto arguments = std::make_shared<InitArguments>();
  CLI::App* init_command = group->add_subcommand("init", "Make a model folder with fresh weights");
  init_command->add_option("--output", arguments->output, "the model folder to make")->required();
  init_command
      ->add_option("--tokenizer", arguments->tokenizer,
                   "sentencepiece model file, or a folder that holds one")
      ->required();
  init_command->add_option("--seed", arguments->seed, "seed of the weights")->capture_default_str();
  AddOptions add_options{init_command};
  arguments->config.fields(add_options);
  init_command->callback(
      [&invocation, arguments] { invocation.action = [arguments] { return init(*arguments); }; });

  const auto path = std::make_shared<std::string>();
  CLI::App* info_command =
      group->add_subcommand("info", "Print what is in a model folder, as JSON");
  info_command->add_option("--model", *path, "model folder")->required();
  info_command->callback(
      [&invocation, path] { invocation.action = [path] { return info(*path); }; });
}

}  // namespace steerlm
