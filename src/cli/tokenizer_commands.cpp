#include <iostream>
#include <limits>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {
namespace {

struct TokenizerArguments {
  TokenizerTrainingArguments training;
  std::string kind = "unigram", format = "auto";
  std::string model;  // encode and decode
};

TokenizerTrainingArguments parse_training(const TokenizerArguments& arguments) {
  const auto kind = enum_value<TokenizerKind>(arguments.kind);
  if (!kind) {
    const std::vector<std::string> kinds = enum_choices<TokenizerKind>();
    fail(ExitCode::recipe, {.what = "unknown kind of tokenizer",
                            .where = "--kind",
                            .found = "'" + arguments.kind + "'",
                            .expected = join(kinds, " or "),
                            .advice = suggest(arguments.kind, kinds)});
  }
  TokenizerTrainingArguments training = arguments.training;
  training.options.kind = *kind;
  training.options.format = parse_format(arguments.format);
  return training;
}

// Calls use(line, where) for each line of standard input; only LF ends a line.
template <class Use>
int for_each_line(Use use) {
  std::string text;  // read, and not used yet
  std::int64_t number = 0;
  const auto use_line = [&](const std::string& line) {
    std::cout << use(line, "standard input:" + std::to_string(++number)) << "\n";
  };
  for (bool more = true; more;) {
    size_t begin = 0, searched = text.size();
    more = read_standard_input(text, ExitCode::data);
    for (size_t end; (end = text.find('\n', searched)) != std::string::npos; begin = searched = end + 1)
      use_line(text.substr(begin, end - begin));
    text.erase(0, begin);
  }
  if (!text.empty()) use_line(text);
  return 0;
}

int encode(const TokenizerArguments& arguments) {
  const Tokenizer tokenizer = Tokenizer::load(arguments.model);
  print_notes(tokenizer.notes());
  return for_each_line([&](const std::string& line, const std::string& where) {
    if (const auto bad = find_invalid_utf8(line)) {
      fail(ExitCode::data, {.what = "not valid UTF-8 at byte " + std::to_string(*bad + 1), .where = where});
    }
    return dump_json(Json(tokenizer.encode_line(line)));
  });
}

int decode(const TokenizerArguments& arguments) {
  const Tokenizer tokenizer = Tokenizer::load(arguments.model);
  print_notes(tokenizer.notes());
  return for_each_line([&](const std::string& line, const std::string& where) {
    const Json json = parse_json(line, where, ExitCode::data);
    if (!json.is_array())
      fail(ExitCode::data, {.what = "not a JSON array of ids", .where = where, .expected = "a line such as [12, 7]"});
    std::vector<std::int32_t> ids;
    for (const Json& id : json) {
      if (!id.is_number_integer() || id < 0 || id >= tokenizer.vocab_size()) {
        fail(ExitCode::data, {.what = "not an id of the vocabulary",
                              .where = where,
                              .found = dump_json(id),
                              .expected = "an integer from 0 to " + std::to_string(tokenizer.vocab_size() - 1)});
      }
      ids.push_back(id.get<std::int32_t>());
    }
    return tokenizer.decode(ids);
  });
}

}  // namespace

void add_tokenizer_commands(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<TokenizerArguments>();
  CLI::App* group = app.add_subcommand("tokenizer", "Train a sentencepiece tokenizer; encode and decode text");
  group->require_subcommand(1);
  const auto set_action = [&invocation, arguments](CLI::App* command, auto action) {
    command->callback(
        [&invocation, arguments, action] { invocation.action = [arguments, action] { return action(*arguments); }; });
  };
  CLI::App* train_command =
      group->add_subcommand("train", "Train a sentencepiece model on text or on the values of records");
  train_command->add_option("--input", arguments->training.options.input, "text or record files")->required();
  train_command
      ->add_option("--output", arguments->training.options.output, "the sentencepiece model; '-' for standard output")
      ->required();
  add_overwrite(*train_command, arguments->training.overwrite);
  train_command
      ->add_option("--vocab-size", arguments->training.options.vocab_size,
                   "pieces; fewer where the text cannot fill them")
      ->required();
  train_command->add_option("--format", arguments->format,
                            "what the files hold: " + join(enum_choices<Format>()) +
                                " (default: auto, which recognises records, and texts by a name that ends in .txt)");
  train_command->add_option("--kind", arguments->kind, "unigram or bpe (default: unigram)");
  train_command
      ->add_option("--seed", arguments->training.seed,
                   "seed of the choice of lines where there are more than five million (default: 1234)")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()));
  set_action(train_command, [&invocation](const TokenizerArguments& given) {
    return invocation.compute().train_tokenizer(parse_training(given));
  });

  CLI::App* encode_command = group->add_subcommand(
      "encode", "Turn lines of text on standard input into JSON arrays of ids, without BOS and EOS");
  CLI::App* decode_command =
      group->add_subcommand("decode", "Turn JSON arrays of ids on standard input, one a line, into text");
  for (CLI::App* command : {encode_command, decode_command}) {
    command->add_option("--model", arguments->model, "model folder, or tokenizer file (sentencepiece, tokenizer.json)")
        ->required();
  }
  set_action(encode_command, encode);
  set_action(decode_command, decode);
}

}  // namespace steerlm
