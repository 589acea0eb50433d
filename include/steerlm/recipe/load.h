// Recipes from files to resolved structs, and back to YAML. Every function here throws Error with ExitCode::recipe and
// all faults found, each with file:line:column ("stdin:line:column", "override 'key=value'").
#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "steerlm/recipe/recipe.h"

namespace steerlm {

// What came through a pipe cannot be read again: whoever looks into a recipe before it is loaded loads what it has
// read.
struct RecipeText {
  std::string name;  // as positions start: the path, or "stdin"
  std::string text;
};
RecipeText read_recipe(const std::string& path_or_dash);

// Reads a recipe of one stage ("-": standard input), applies `key=value` overrides, then the method's defaults. A
// recipe of another stage than `expected` is refused, and a pipeline always.
Recipe load_recipe(const std::string& path_or_dash, std::span<const std::string> overrides,
                   std::optional<Stage> expected);

// The same from a text, a step's `recipe_yaml` say; positions start with `name`.
Recipe load_recipe_text(const std::string& yaml, const std::string& name);

struct PipelineStep {
  std::string name;
  Stage stage = Stage::sft;
  std::string
      recipe_yaml;  // resolved; pipeline defaults merged, @NAME/ replaced, run_dir is the pipeline's run_dir/name
  std::vector<std::string> depends_on;  // names of the earlier steps whose run directories it reads
};
struct Pipeline {
  std::string run_dir;
  double max_minutes = 0;
  std::vector<PipelineStep> steps;
  std::string recipe_yaml;  // the resolved pipeline, as one recipe
};
Pipeline load_pipeline(const std::string& path_or_dash, std::span<const std::string> overrides);

// Whichever of the two it is.
std::variant<Recipe, Pipeline> load_any(const RecipeText& recipe, std::span<const std::string> overrides);
std::variant<Recipe, Pipeline> load_any(const std::string& path_or_dash, std::span<const std::string> overrides);

// The attributes that a method has unless a recipe says otherwise; `defaults` are those for steering that are not min.
AttributeOptions method_attributes(Method method);

// The stage that the text of a recipe names; nothing where it is no recipe.
std::optional<Stage> peek_stage(const std::string& text);

// The dotted path of a recipe's key of that name, or of the key that other programs call so ("lr"); "" for none.
std::string recipe_key(std::string_view word);

// What to write instead of a device that this program does not know; "" where nothing comes to mind.
std::string device_advice(const std::string& device);

// The recipe as YAML: every key that had a say, no others. Loading it gives an equal recipe.
std::string dump_recipe(const Recipe& recipe);

}  // namespace steerlm
