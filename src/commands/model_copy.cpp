// steerlm model export, add-tokens, merge: folders made of other folders.
#include <fmt/format.h>

#include <algorithm>
#include <iostream>

#include "commands/commands.h"
#include "commands/model_options.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/hf/config.h"
#include "steerlm/hf/folder_copy.h"
#include "steerlm/stages/inputs.h"

namespace steerlm {
namespace {

Path output_of(const ModelCopyArguments& arguments) {
  OutputOptions options{.overwrite = arguments.overwrite, .inputs = model_inputs(arguments.model)};
  if (!arguments.base.empty()) options.inputs.push_back(arguments.base);
  return check_output_folder(arguments.output, options);
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
  for (const std::string& token : split(text)) {
    constexpr std::string_view spaces = " \t\r\n";
    if (token.empty()) refuse("an empty token", token);
    if (spaces.find(token.front()) != spaces.npos || spaces.find(token.back()) != spaces.npos)
      refuse("a token that starts or ends with a space", token);
    if (std::ranges::find(tokens, token) != tokens.end()) refuse("a token that is given twice", token);
    tokens.push_back(token);
  }
  return tokens;
}

}  // namespace

int commands::model_export(const ModelCopyArguments& arguments) {
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

int commands::model_add_tokens(const ModelCopyArguments& arguments) {
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

int commands::model_merge(const ModelCopyArguments& arguments) {
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

}  // namespace steerlm
