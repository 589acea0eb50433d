#include <algorithm>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/commands.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

struct RecipeArguments {
  std::string recipe;
  std::vector<std::string> overrides;
  std::string directory = "configs";
  bool markdown = false;
};

int check(const RecipeArguments& arguments) {
  const std::variant<Recipe, Pipeline> loaded = load_any(arguments.recipe, arguments.overrides);
  if (const auto* pipeline = std::get_if<Pipeline>(&loaded)) {
    std::vector<std::string> names;
    for (const PipelineStep& step : pipeline->steps) names.push_back(step.name);
    std::cout << arguments.recipe << ": a pipeline without faults, steps " << join(names) << "\n";
  } else {
    std::cout << arguments.recipe << ": a recipe without faults, stage " << enum_name(std::get<Recipe>(loaded).stage)
              << "\n";
  }
  return 0;
}

int show(const RecipeArguments& arguments) {
  const std::variant<Recipe, Pipeline> loaded = load_any(arguments.recipe, arguments.overrides);
  const auto* pipeline = std::get_if<Pipeline>(&loaded);
  std::cout << (pipeline != nullptr ? pipeline->recipe_yaml : dump_recipe(std::get<Recipe>(loaded)));
  return 0;
}

std::string first_comment(const std::string& text) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    if (text[at] == '#') {
      const size_t start = text.find_first_not_of("# ", at);
      return start < end ? text.substr(start, end - start) : "";
    }
    at = end + 1;
  }
  return "";
}

int list(const RecipeArguments& arguments) {
  if (!is_folder(arguments.directory, ExitCode::recipe)) {
    fail(ExitCode::recipe,
         {.what = "no such folder", .where = arguments.directory, .advice = "give the folder that holds the recipes"});
  }
  std::vector<std::string> paths;
  std::error_code unreadable;
  constexpr auto options = std::filesystem::directory_options::skip_permission_denied;
  std::filesystem::recursive_directory_iterator entry(arguments.directory, options, unreadable);
  for (; entry != std::filesystem::recursive_directory_iterator(); entry.increment(unreadable)) {
    const std::string extension = entry->path().extension().string();
    std::error_code dangling;
    if ((extension == ".yaml" || extension == ".yml") && entry->is_regular_file(dangling))
      paths.push_back(entry->path().string());
  }
  if (unreadable)
    fail(ExitCode::recipe, {.what = "cannot list the folder: " + unreadable.message(), .where = arguments.directory});
  std::sort(paths.begin(), paths.end());
  size_t width = 0;
  for (const std::string& path : paths) width = std::max(width, path.size());
  for (const std::string& path : paths) {
    const std::string text = read_file(path, ExitCode::recipe, "recipe");
    const std::optional<Stage> named = peek_stage(text);
    const std::string stage(named ? enum_name(*named) : "not a recipe");
    const std::string comment = first_comment(text);
    std::cout << path << std::string(width - path.size() + 2, ' ') << stage;
    if (!comment.empty()) std::cout << std::string(stage.size() < 17 ? 17 - stage.size() : 1, ' ') << comment;
    std::cout << "\n";
  }
  return 0;
}

}  // namespace

void add_recipe_commands(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<RecipeArguments>();
  CLI::App* group = app.add_subcommand("recipe", "List, show and check recipes");
  group->require_subcommand(1);
  const auto set_action = [&invocation, arguments](CLI::App* command, int (*action)(const RecipeArguments&)) {
    command->callback(
        [&invocation, arguments, action] { invocation.action = [arguments, action] { return action(*arguments); }; });
  };
  const auto takes_recipe = [arguments](CLI::App* command) {
    command->add_option("RECIPE", arguments->recipe, "recipe file, '-' for standard input")->required();
    command->add_option("OVERRIDES", arguments->overrides, "key=value, such as optimizer.learning_rate=1e-5");
  };
  CLI::App* list_command = group->add_subcommand("list", "Print the recipes of a folder with stage and first comment");
  list_command->add_option("DIR", arguments->directory, "folder, searched with all folders in it (default: configs)");
  set_action(list_command, list);
  CLI::App* show_command = group->add_subcommand("show", "Print a recipe with every default filled in");
  takes_recipe(show_command);
  set_action(show_command, show);
  CLI::App* check_command = group->add_subcommand("check", "Check a recipe and report all its faults");
  takes_recipe(check_command);
  set_action(check_command, check);
  CLI::App* schema_command = group->add_subcommand("schema", "Print the JSON Schema of recipes");
  schema_command->add_flag("--markdown", arguments->markdown, "print the reference page instead");
  set_action(schema_command, [](const RecipeArguments& given) {
    std::cout << (given.markdown ? recipe_reference() : recipe_schema());
    return 0;
  });
}

}  // namespace steerlm
