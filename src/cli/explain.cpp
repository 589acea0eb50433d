#include "cli/explain.h"

#include <algorithm>
#include <array>
#include <cctype>
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
  if (!commands.empty() || dynamic_cast<const CLI::ExtrasError*>(&error) != nullptr) {
    const std::vector<std::string> options = option_names(*named.command);
    for (int i = named.next; i < argc && std::string_view(argv[i]) != "--"; ++i) {
      const std::string word = std::string(argv[i]).substr(0, std::string_view(argv[i]).find('='));
      const bool option = word.size() > 1 && word[0] == '-' && std::isdigit(static_cast<unsigned char>(word[1])) == 0;
      if (option && std::find(options.begin(), options.end(), word) == options.end())
        return unknown_option(named, word);
    }
    return {.what = "too many arguments: " + join(named.command->remaining(true), " "), .advice = advice};
  }
  if (dynamic_cast<const CLI::ConversionError*>(&error) != nullptr) {  // "Could not convert: --seed = abc"
    const std::string text = error.what();
    const size_t name = text.find(": "), value = text.find(" = ");
    if (name < value && value != text.npos)
      return {.what = "not a value of this option",
              .where = text.substr(name + 2, value - name - 2),
              .found = "'" + text.substr(value + 3) + "'",
              .expected = "a number that it can hold",
              .advice = advice};
  }
  return {.what = error.what(), .advice = advice};  // "--model is required" and the like
}

namespace {

// Arguments that name files and folders.
constexpr std::array<std::string_view, 7> paths{"RECIPE",   "DIR",         "--model", "--input",
                                                "--output", "--tokenizer", "--base"};
// The only ones that may be empty: texts of a conversation.
constexpr std::array<std::string_view, 2> texts{"--prompt", "--system"};

void check_argument(const std::string& name, const std::string& value, std::vector<Fault>& faults) {
  if (value.empty() && std::ranges::find(texts, name) == texts.end())
    faults.push_back({.what = "the argument is empty", .where = name});
  if (std::ranges::find(paths, name) == paths.end()) return;
  if (std::optional<Fault> fault = unexpanded(value)) {
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
      for (const std::string& value : option->results()) check_argument(option->get_name(), value, faults);
    }
    const std::vector<CLI::App*> below = command->get_subcommands();
    command = below.empty() ? nullptr : below[0];
  }
  if (!faults.empty()) throw Error(ExitCode::recipe, faults);
}

}  // namespace steerlm
