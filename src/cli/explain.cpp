#include "cli/explain.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

std::vector<std::string> command_names(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* command : app.get_subcommands([](CLI::App*) { return true; }))
    names.push_back(command->get_name());
  return names;
}

std::vector<std::string> option_names(CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
    for (const std::string& name : option->get_snames()) names.push_back("-" + name);
  }
  return names;
}

std::string full_name(const CLI::App& app) {
  return app.get_parent() == nullptr ? app.get_name() : full_name(*app.get_parent()) + " " + app.get_name();
}

// The command that the words name as far as commands of these names exist, and the word behind.
struct Named {
  CLI::App* command;
  int next;
};

Named find_command(CLI::App& root, int argc, char** argv) {
  Named named{&root, 1};
  for (; named.next < argc; ++named.next) {
    const std::vector<CLI::App*> below =
        named.command->get_subcommands([&](CLI::App* app) { return app->get_name() == argv[named.next]; });
    if (below.empty()) break;
    named.command = below[0];
  }
  return named;
}

bool is_unknown_command(const Named& named, int argc, char** argv) {
  return !command_names(*named.command).empty() && named.next < argc && argv[named.next][0] != '-';
}

std::string advice_for(const Named& named) { return "see '" + full_name(*named.command) + " --help'"; }

// An option that the command does not have, written "--word" or "-w".
Fault unknown_option(const Named& named, const std::string& word) {
  const std::vector<std::string> options = option_names(*named.command);
  std::string advice = suggest(word, options);
  if (named.command->get_option_no_throw("RECIPE") != nullptr) {
    const std::string key = recipe_key(word.substr(std::min(word.find_first_not_of('-'), word.size())));
    if (word == "-c" || word == "--config" || word == "--recipe" || word == "-r")
      advice = "the recipe is the first argument: '" + full_name(*named.command) + " RECIPE'";
    else if (advice.empty() && !key.empty())
      advice = "a key of the recipe is written without dashes: " + key + "=VALUE";
  }
  return {.what = "unknown option '" + word + "'", .advice = advice.empty() ? advice_for(named) : advice};
}

// "0.000000 to 1.000000", as CLI11 prints bounds that are reals, as "0 to 1".
std::string without_decimal_zeros(std::string text) {
  static constexpr std::string_view zeros = ".000000";
  for (size_t at = text.find(zeros); at != text.npos; at = text.find(zeros, at)) text.erase(at, zeros.size());
  return text;
}

// The parser's message on a value, taken apart: "Could not convert: --count = abc" and
// "--seed: Value abc not in range 0 to 9"; any other as it is, "--model is required" say.
Fault explain_value(const std::string& text, const std::string& advice) {
  static constexpr std::string_view convert = "Could not convert: ", value = ": Value ", range = " not in range ";
  const size_t equals = text.find(" = "), value_at = text.find(value), range_at = text.rfind(range);
  if (text.starts_with(convert) && equals != text.npos)
    return {.what = "not a value of this option",
            .where = text.substr(convert.size(), equals - convert.size()),
            .found = "'" + text.substr(equals + 3) + "'",
            .expected = "a number",
            .advice = advice};
  if (value_at != text.npos && range_at != text.npos && value_at < range_at)
    return {.what = "not a value of this option",
            .where = text.substr(0, value_at),
            .found = "'" + text.substr(value_at + value.size(), range_at - value_at - value.size()) + "'",
            .expected = "a number from " + without_decimal_zeros(text.substr(range_at + range.size())),
            .advice = advice};
  return {.what = text, .advice = advice};
}

}  // namespace

bool asks_for_help(CLI::App& root, int argc, char** argv, const CLI::ParseError& error) {
  return error.get_exit_code() == 0 && !is_unknown_command(find_command(root, argc, argv), argc, argv);
}

// Walks the commands as far as they exist, then looks at the rest.
Fault explain(CLI::App& root, int argc, char** argv, const CLI::ParseError& error) {
  const Named named = find_command(root, argc, argv);
  const std::vector<std::string> commands = command_names(*named.command);
  const std::string advice = advice_for(named);
  if (!commands.empty() && named.next == argc)
    return {.what = "a command is missing", .expected = "one of " + join(commands), .advice = advice};
  if (is_unknown_command(named, argc, argv)) {
    const std::string word = argv[named.next];
    std::string nearest = suggest(word, commands);
    if (nearest.empty() && std::filesystem::path(word).has_extension())
      nearest = "a recipe is run with 'steerlm run RECIPE'";
    return {.what = "unknown command '" + word + "'",
            .expected = "one of " + join(commands),
            .advice = nearest.empty() ? advice : nearest};
  }
  const std::vector<std::string> options = option_names(*named.command);
  for (int i = named.next; i < argc && std::string_view(argv[i]) != "--"; ++i) {
    const std::string word = std::string(argv[i]).substr(0, std::string_view(argv[i]).find('='));
    const bool option = word.size() > 1 && word[0] == '-' && std::isdigit(static_cast<unsigned char>(word[1])) == 0;
    if (option && std::find(options.begin(), options.end(), word) == options.end()) return unknown_option(named, word);
  }
  if (!commands.empty() || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr)
    return {.what = "too many arguments: " + join(named.command->remaining(true), " "), .advice = advice};
  return explain_value(error.what(), advice);
}

namespace {

// Arguments that name files and folders.
constexpr std::array<std::string_view, 19> paths{"RECIPE",  "DIR",     "FILE",          "RUN",           "NAME",
                                                 "SHARDS",  "--model", "--input",       "--output",      "--tokenizer",
                                                 "--base",  "--edges", "--write-edges", "--comparisons", "--judged",
                                                 "--merge", "--gguf",  "--answers",     "--out"};
// The only ones that may be empty: texts of a conversation.
constexpr std::array<std::string_view, 2> texts{"--prompt", "--system"};

// The parser takes 99999999999999999999 for the largest integer, and 010 for 8.
bool is_integer(std::string_view text) {
  const std::string_view digits = text.substr(text.starts_with('-') ? 1 : 0);
  std::int64_t number = 0;
  const auto [rest, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc{} && rest == text.data() + text.size() && (digits == "0" || !digits.starts_with('0'));
}

void check_argument(const CLI::Option& option, const std::string& value, std::vector<Fault>& faults) {
  const std::string name = option.get_name();
  if (value.empty() && std::ranges::find(texts, name) == texts.end())
    faults.push_back({.what = "the argument is empty", .where = name});
  const bool integer = option.get_type_name().starts_with("INT") || option.get_type_name().starts_with("UINT");
  if (integer && !is_integer(value))
    faults.push_back({.what = "not a value of this option",
                      .where = name,
                      .found = "'" + value + "'",
                      .expected = "an integer of 64 bits"});
  if (std::ranges::find(paths, name) == paths.end()) return;
  const std::string path = name == "--answers" ? value.substr(value.find('=') + 1) : value;  // NAME=FILE
  if (std::optional<Fault> fault = unexpanded(path)) {
    fault->where = name;
    faults.push_back(std::move(*fault));
  }
}

}  // namespace

void check_arguments(const CLI::App& root) {
  std::vector<Fault> faults;
  for (const CLI::App* command = &root; command != nullptr;) {
    for (const CLI::Option* option : command->get_options()) {
      if (option->count() == 0 || option->get_expected_max() == 0) continue;
      for (const std::string& value : option->results()) check_argument(*option, value, faults);
    }
    const std::vector<CLI::App*> below = command->get_subcommands();
    command = below.empty() ? nullptr : below[0];
  }
  if (!faults.empty()) throw Error(ExitCode::recipe, faults);
}

}  // namespace steerlm
