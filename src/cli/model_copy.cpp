// steerlm model export, add-tokens, merge: folders made of other folders.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>
#include <memory>

#include "cli/inference_options.h"
#include "cli/model_commands.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/folder_copy.h"
#include "steerlm/stages/inputs.h"

namespace steerlm {
namespace {

struct CopyArguments {
  std::string model, output, max_shard_size;
  std::string dtype;   // export
  std::string tokens;  // add-tokens
  std::string base;    // merge
  bool overwrite = false;
};

Path output_of(const CopyArguments& arguments) {
  OutputOptions options{.overwrite = arguments.overwrite, .inputs = model_inputs(arguments.model)};
  if (!arguments.base.empty()) options.inputs.push_back(arguments.base);
  return check_output_folder(arguments.output, options);
}

int export_model(const CopyArguments& arguments) {
  check_dtype(arguments.dtype);
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output = output_of(arguments);
  give_large_tensors_back();
  const ModelFolder folder = open_model_folder(arguments.model);
  const Tokenizer tokenizer = Tokenizer::load(folder.tokenizer_path);
  print_notes(folder_notes(folder, tokenizer));
  check_vocabulary(folder, tokenizer);
  make_output_folder(output,
                     [&](const Path& path) { export_model_folder(folder, path, arguments.dtype, max_shard_bytes); });
  std::cerr << fmt::format("{}: the model in {}, {} weight file(s)\n", arguments.output, arguments.dtype,
                           weight_paths(arguments.output).size());
  return 0;
}

// "<a>,<b>"
std::vector<std::string> parse_tokens(const std::string& text) {
  const auto refuse = [&](const std::string& what, const std::string& token) {
    fail(
        ExitCode::recipe,
        {.what = what, .where = "--tokens", .found = "'" + token + "'", .expected = "tokens with commas between them"});
  };
  if (find_invalid_utf8(text)) fail(ExitCode::recipe, {.what = "not valid UTF-8", .where = "--tokens"});
  std::vector<std::string> tokens;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    const std::string token = text.substr(begin, end - begin);
    constexpr std::string_view spaces = " \t\r\n";
    if (token.empty()) refuse("an empty token", token);
    if (spaces.find(token.front()) != spaces.npos || spaces.find(token.back()) != spaces.npos)
      refuse("a token that starts or ends with a space", token);
    if (std::ranges::find(tokens, token) != tokens.end()) refuse("a token that is given twice", token);
    tokens.push_back(token);
    begin = end + 1;
  }
  return tokens;
}

int add_tokens(const CopyArguments& arguments) {
  const std::vector<std::string> tokens = parse_tokens(arguments.tokens);
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output = output_of(arguments);
  give_large_tensors_back();
  const ModelFolder folder = open_model_folder(arguments.model);
  const Tokenizer tokenizer = Tokenizer::load(folder.tokenizer_path);
  print_notes(folder_notes(folder, tokenizer));
  GrownVocabulary grown;
  make_output_folder(output, [&](const Path& path) {
    grown = add_tokens_to_folder(folder, tokenizer, tokens, path, max_shard_bytes);
  });
  for (const AddedPiece& piece : grown.pieces)
    std::cerr << fmt::format("{}: {}, id {}\n", piece.text, piece.fresh ? "added" : "there already", piece.id);
  std::cerr << fmt::format(
      "{}: the embedding has {} rows{}\n", arguments.output, grown.rows,
      grown.rows == grown.rows_before ? ", as before" : fmt::format(", {} before", grown.rows_before));
  return 0;
}

int merge(const CopyArguments& arguments) {
  const std::uint64_t max_shard_bytes = parse_shard_size(arguments.max_shard_size);
  const Path output = output_of(arguments);
  const ModelFolder folder = open_model_folder(arguments.model, arguments.base);
  if (!folder.adapter) {
    fail(ExitCode::model, {.what = "the folder is not an adapter",
                           .where = arguments.model,
                           .expected = "a folder with adapter_config.json and no config.json"});
  }
  const Tokenizer tokenizer = Tokenizer::load(folder.tokenizer_path);
  print_notes(folder_notes(folder, tokenizer));
  check_vocabulary(folder, tokenizer);
  make_output_folder(output, [&](const Path& path) {
    write_model_folder(path, folder, stream_weights(folder, own_weights(folder)), tokenizer, max_shard_bytes);
  });
  std::cerr << fmt::format("{}: the model of {} with its adapter merged, {}\n", arguments.output,
                           folder.weights_path.string(), folder.dtype);
  return 0;
}

CLI::App* add_copy_command(CLI::App& group, const char* name, const char* meaning, CopyArguments& arguments) {
  CLI::App* command = group.add_subcommand(name, meaning);
  command->add_option("--model", arguments.model, "model folder")->required();
  command->add_option("--output", arguments.output, "the model folder to make")->required();
  add_overwrite(*command, arguments.overwrite);
  add_shard_size(*command, arguments.max_shard_size);
  return command;
}

}  // namespace

void add_model_export(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<CopyArguments>();
  CLI::App* command = add_copy_command(group, "export", "Write a model folder in another dtype", *arguments);
  command->add_option("--dtype", arguments->dtype, join(supported_dtypes(), ", "))->required();
  command->callback([&invocation, arguments] { invocation.action = [arguments] { return export_model(*arguments); }; });
}

void add_model_merge(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<CopyArguments>();
  CLI::App* command =
      add_copy_command(group, "merge", "Write a LoRA adapter and its base as one model folder", *arguments);
  command->add_option("--base", arguments->base,
                      "the folder that it adapts; default: the one that adapter_config.json names");
  command->callback([&invocation, arguments] { invocation.action = [arguments] { return merge(*arguments); }; });
}

void add_model_add_tokens(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<CopyArguments>();
  arguments->tokens = join({std::string(system_marker), std::string(turn_marker), std::string(label_marker)}, ",");
  CLI::App* command =
      add_copy_command(group, "add-tokens", "Write a model folder with more special tokens", *arguments);
  command->add_option("--tokens", arguments->tokens, "the tokens, with commas between them")->capture_default_str();
  command->callback([&invocation, arguments] { invocation.action = [arguments] { return add_tokens(*arguments); }; });
}

}  // namespace steerlm
