#include <algorithm>

#include "recipe/describe.h"
#include "recipe/resolve.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/reference.h"

namespace steerlm {
namespace {

constexpr std::string_view introduction = R"(
# A key behind '#' has its default: to change it, take away the '#' before it and before its section. A key that stands there without a value
# must be given. Paths are relative to the current directory; a source of records is a path, or {path: …, format: …, limit: …, labels: …}.
# 'steerlm recipe check FILE' checks a recipe, and docs/recipes.md says what depends on the method.
)";

constexpr std::string_view steps_text = R"(
# list: a step has a name, a stage and the keys of that stage ('steerlm recipe init STAGE'), less run_dir; "@NAME/model" is the model of an
# earlier step
steps:
  #- name: sft
  #  stage: sft
  #  model: {path: DIR}
  #  data: {train: FILE}
)";

// Of what may be given in place of each other the keys that are left open, and a line on the others.
struct Choice {
  std::vector<std::string_view> keys;
  std::string_view others;
};
Choice usual_choice(Stage stage) {
  if (stage == Stage::steerlm2) {
    return {{"prior", "predictor", "prompts"},
            "# With prompts, prior and predictor taken out, data.train is to be given: responses with their three "
            "numbers.\n"};
  }
  if (stage == Stage::evaluate) {
    return {
        {"predictor", "data.validation"},
        "# 'predictor' may be taken out where a 'model' is given, 'data' where 'pairs' alone are to be measured.\n"};
  }
  return {};
}

// Whether the key must be given, or one in it. `model` is given by its path.
bool is_required(const std::vector<std::string_view>& required, const std::string& path) {
  return std::any_of(required.begin(), required.end(), [&](std::string_view key) {
    return key == path || key.starts_with(path + ".") || (key == "model" && path == "model.path");
  });
}

// What stands behind the key; "" where there is no default.
std::string default_value(const KeyInfo& key) {
  if (key.off) return "";
  if (key.shape == Shape::all_or_list && key.value.items.empty()) return " all";
  const std::string text = flow_text(key.value);
  return text == "\"\"" || text == "[]" || text == "{}" ? "" : " " + text;
}

void write_key(const KeyInfo& key, const std::string& above, const std::vector<std::string_view>& required,
               std::string& text) {
  const std::string path = above + key.name;
  const std::string indent(2 * static_cast<size_t>(std::count(path.begin(), path.end(), '.')), ' ');
  if (path == "stage") return;
  const bool section = key.type == KeyInfo::Type::section;
  text += "\n" + indent + "# " + key.meaning;
  if (!section) text += ": " + expected_text(key);
  if (section && key.off) text += "; off where it is not given";
  const bool given = is_required(required, path);
  text += "\n" + indent + (given ? "" : "#") + key.name + ":" + (section || given ? "" : default_value(key)) + "\n";
  for (const KeyInfo& child : key.children) write_key(child, path + ".", required, text);
}

}  // namespace

std::string starting_recipe(Stage stage) {
  Recipe recipe{.stage = stage};
  apply_method_defaults(recipe);
  std::vector<std::string_view> required = required_keys(stage);
  const Choice choice = usual_choice(stage);
  required.insert(required.end(), choice.keys.begin(), choice.keys.end());
  std::string text = "# Recipe of the stage " + std::string(enum_name(stage)) + "\n" + std::string(introduction) +
                     std::string(choice.others) + "\nstage: " + std::string(enum_name(stage)) + "\n";
  for (KeyInfo& key : describe(recipe)) {
    if (key.name == "attributes" && has_folder_attributes(stage)) {
      for (KeyInfo& child : key.children) {  // their defaults are not the method's
        child.off = true;
        child.meaning += "; the model folder's, whether it is given or not";
      }
    }
    write_key(key, "", required, text);
  }
  if (stage == Stage::pipeline) text += steps_text;
  return text;
}

}  // namespace steerlm
