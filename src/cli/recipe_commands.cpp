#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <iostream>
#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "steerlm/cli/choice.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/output.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/compressor.h"
#include "steerlm/recipe/experiment.h"
#include "steerlm/recipe/load.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

struct RecipeArguments {
  std::string recipe;
  std::vector<std::string> overrides;
  std::string directory;   // "": that of the program
  std::string name, file;  // of copy and init
  bool markdown = false, overwrite = false;
};

// An experiment has no stage, and measures.
bool is_experiment(const std::string& text) {
  return !peek_stage(text) && (text.starts_with("measures:") || text.find("\nmeasures:") != std::string::npos);
}

int check(const RecipeArguments& arguments) {
  const RecipeText text = read_recipe(arguments.recipe);
  if (is_experiment(text.text)) {
    if (!arguments.overrides.empty()) {
      fail(ExitCode::recipe, {.what = "an experiment takes no overrides on the command line",
                              .where = arguments.recipe,
                              .found = arguments.overrides.front(),
                              .advice = "write what its pipeline is to have otherwise into its list 'overrides'"});
    }
    const ExperimentOptions experiment = load_experiment(text);
    for (const bool quick : {false, true}) load_pipeline_of(experiment, arguments.recipe, quick);
    std::cout << arguments.recipe << ": an experiment without faults, on " << experiment.pipeline << "\n";
    return 0;
  }
  const std::variant<Recipe, Pipeline> loaded = load_any(text, arguments.overrides);
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

bool is_open_folder(const Path& folder) { return ::faccessat(AT_FDCWD, folder.c_str(), R_OK | X_OK, AT_EACCESS) == 0; }

// The recipes below a folder, sorted.
std::vector<Path> recipe_files(const Path& folder) {
  std::vector<Path> paths;
  std::error_code unreadable =
      is_open_folder(folder) ? std::error_code() : std::error_code(errno, std::system_category());
  std::filesystem::recursive_directory_iterator entry;
  if (!unreadable) entry = std::filesystem::recursive_directory_iterator(folder, unreadable);
  for (; entry != std::filesystem::recursive_directory_iterator(); entry.increment(unreadable)) {
    const std::string extension = entry->path().extension().string();
    std::error_code dangling;
    if ((extension == ".yaml" || extension == ".yml") && entry->is_regular_file(dangling))
      paths.push_back(entry->path());
    if (!entry->is_directory(dangling) || entry->is_symlink(dangling) || is_open_folder(entry->path())) continue;
    print_notes({entry->path().string() + ": the folder is closed, and recipes in it are not listed"});
    entry.disable_recursion_pending();
  }
  if (unreadable)
    fail(code_of_open(unreadable.value(), ExitCode::recipe), {.what = "cannot list the folder: " + unreadable.message(),
                                                              .where = folder.string(),
                                                              .advice = advice_of_open(unreadable.value())});
  std::sort(paths.begin(), paths.end());
  return paths;
}

int list(const RecipeArguments& arguments) {
  const bool own = arguments.directory.empty();
  if (!own && !is_folder(arguments.directory, ExitCode::recipe)) {
    fail(ExitCode::recipe,
         {.what = "no such folder", .where = arguments.directory, .advice = "give the folder that holds the recipes"});
  }
  const Path folder = own ? recipe_folder() : Path(arguments.directory);
  std::vector<std::pair<std::string, Path>> recipes;  // the program's own by the name that `recipe copy` takes
  size_t width = 0;
  for (const Path& path : recipe_files(folder)) {
    recipes.emplace_back(own ? path.lexically_relative(folder).string() : path.string(), path);
    width = std::max(width, recipes.back().first.size());
  }
  for (const auto& [name, path] : recipes) {
    const std::string text = read_file(path, ExitCode::recipe, "recipe");
    const std::optional<Stage> named = peek_stage(text);
    const std::string stage(named ? enum_name(*named) : is_experiment(text) ? "experiment" : "not a recipe");
    const std::string comment = first_comment(text);
    std::cout << name << std::string(width - name.size() + 2, ' ') << stage;
    if (!comment.empty()) std::cout << std::string(stage.size() < 17 ? 17 - stage.size() : 1, ' ') << comment;
    std::cout << "\n";
  }
  return 0;
}

void write_recipe(const RecipeArguments& arguments, const std::string& path, const std::string& text) {
  refuse_packed_name(path, "FILE");
  Output output(path, {.overwrite = arguments.overwrite});
  output.write(text);
  output.finish();
  if (!find_output(path, {}).through)
    std::cerr << path << ": written; `steerlm recipe check " << shell_word(path) << "` checks it\n";
}

// What a copied recipe needs beside it, which the program does not put there: the pipeline of an experiment, which is
// sought from the copy's own folder, and the data of the toy language.
void tell_what_it_needs(const Path& folder, const Path& recipe, const std::string& copied, const std::string& text) {
  if (is_experiment(text)) {
    const Path pipeline = load_experiment({recipe.string(), text}).pipeline;
    const Path beside = Path(copied).parent_path() / pipeline.lexically_relative(recipe.parent_path());
    const Path name = pipeline.lexically_relative(folder).replace_extension();
    std::cerr << copied << ": an experiment on " << beside.string() << ", which `steerlm recipe copy " << name.string()
              << " " << shell_word(beside.string()) << "` writes\n";
  }
  if (text.find("data/toy/") != text.npos)
    std::cerr << copied << ": it reads data/toy, which `steerlm data make-toy --output data/toy` writes\n";
}

int copy(const RecipeArguments& arguments) {
  const Path folder = recipe_folder();
  std::vector<std::string> names;
  for (const Path& path : recipe_files(folder)) {
    const Path name = path.lexically_relative(folder);
    names.push_back(Path(name).replace_extension().string());
    if (arguments.name != name.string() && arguments.name != names.back()) continue;
    const std::string file = arguments.file.empty() ? path.filename().string() : arguments.file;
    const std::string text = read_file(path, ExitCode::recipe, "recipe");
    write_recipe(arguments, file, text);
    if (!find_output(file, {}).through) tell_what_it_needs(folder, path, file, text);
    return 0;
  }
  std::string advice = suggest(arguments.name, names);
  for (const std::string& name : names) {  // without its folder
    if (advice.empty() && !suggest(arguments.name, {Path(name).filename().string()}).empty())
      advice = "did you mean '" + name + "'?";
  }
  if (advice.empty()) advice = "'steerlm recipe list' prints their names";
  fail(ExitCode::recipe, {.what = "no recipe of this name comes with the program",
                          .found = "'" + arguments.name + "'",
                          .advice = std::move(advice)});
}

int init(const RecipeArguments& arguments) {
  const Stage stage = parse_choice<Stage>(arguments.name, "stage", "");
  write_recipe(arguments, arguments.file.empty() ? arguments.name + ".yaml" : arguments.file, starting_recipe(stage));
  return 0;
}

}  // namespace

void add_recipe_commands(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<RecipeArguments>();
  CLI::App* group = app.add_subcommand("recipe", "List, copy, start, show and check recipes");
  group->require_subcommand(1);
  const auto set_action = [&invocation, arguments](CLI::App* command, int (*action)(const RecipeArguments&)) {
    command->callback(
        [&invocation, arguments, action] { invocation.action = [arguments, action] { return action(*arguments); }; });
  };
  const auto takes_recipe = [arguments](CLI::App* command) {
    command->add_option("RECIPE", arguments->recipe, "recipe file, '-' for standard input")->required();
    command->add_option("OVERRIDES", arguments->overrides,
                        "key=value, such as optimizer.learning_rate=1e-5; key=null unsets a key");
  };
  CLI::App* list_command = group->add_subcommand(
      "list", "Print the recipes that come with the program, or those of a folder, with stage and first comment");
  list_command->add_option("DIR", arguments->directory,
                           "folder, searched with all folders in it (default: the program's own recipes)");
  set_action(list_command, list);
  const auto writes = [arguments](CLI::App* command, const std::string& standard) {
    command->add_option("FILE", arguments->file, "file to write, '-' for standard output (default: " + standard + ")");
    add_overwrite(*command, arguments->overwrite);
  };
  CLI::App* copy_command = group->add_subcommand("copy", "Copy a recipe that comes with the program");
  copy_command->add_option("NAME", arguments->name, "name that 'recipe list' prints, such as toy/pipeline")->required();
  writes(copy_command, "the recipe's own name, in this folder");
  set_action(copy_command, copy);
  CLI::App* init_command = group->add_subcommand("init", "Write a commented recipe of a stage to start from");
  init_command->add_option("STAGE", arguments->name, join(enum_choices<Stage>()))->required();
  writes(init_command, "STAGE.yaml, in this folder");
  set_action(init_command, init);
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
