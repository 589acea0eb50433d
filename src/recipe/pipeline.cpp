#include <algorithm>
#include <regex>

#include "recipe/decode.h"
#include "recipe/resolve.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

void remove_key(Yaml& mapping, std::string_view key) {
  std::erase_if(mapping.entries, [&](const YamlEntry& entry) { return entry.key == key; });
}

// Calls `act` with every text of a step that may be a path.
void for_each_path(Yaml& node, const auto& act) {
  if (node.kind == Yaml::Kind::scalar) act(node);
  for (Yaml& item : node.items) for_each_path(item, act);
  for (YamlEntry& entry : node.entries) {
    if (entry.key != "template") for_each_path(entry.value, act);
  }
}

// What a step calls its own run directory.
constexpr std::string_view own_name = "self";

// "@predictor/model" -> "predictor"; "" where the text refers to no step.
std::string referenced_step(const std::string& text) {
  return text.starts_with('@') ? text.substr(1, text.find('/') == std::string::npos ? text.npos : text.find('/') - 1)
                               : "";
}

class PipelineReader {
 public:
  PipelineReader(const Yaml& tree, std::vector<Fault>& faults) : tree_(tree), faults_(faults) {}

  Pipeline read() {
    const Recipe own = resolve(tree_, Stage::pipeline, faults_, {"steps"});
    pipeline_.run_dir = own.run_dir;
    pipeline_.max_minutes = own.max_minutes;
    Yaml whole{.kind = Yaml::Kind::mapping};
    whole.entries.push_back({"stage", "", make_text("pipeline", "")});
    whole.entries.push_back({"run_dir", "", make_text(pipeline_.run_dir, "")});
    whole.entries.push_back({"steps", "", {.kind = Yaml::Kind::sequence}});
    steps_ = &whole.entries.back().value;
    if (const Yaml* steps = find(tree_, "steps")) {
      if (steps->kind != Yaml::Kind::sequence)
        fault(*steps, {.what = "wrong value of 'steps'", .expected = "a list of steps"});
      for (const Yaml& item : steps->items) step(item);
    }
    pipeline_.recipe_yaml = write_yaml(whole);
    return std::move(pipeline_);
  }

 private:
  void fault(const Yaml& node, Fault fault) {
    if (node.kind == Yaml::Kind::refused) return;
    fault.where = node.where;
    faults_.push_back(std::move(fault));
  }

  void step(const Yaml& item) {
    if (item.kind != Yaml::Kind::mapping) {
      fault(item, {.what = "not a step", .expected = "a section with name, stage and the keys of its recipe"});
      return;
    }
    PipelineStep result{.name = read_name(item)};
    const std::optional<Stage> stage = read_step_stage(item);
    Yaml recipe = item;
    remove_key(recipe, "name");
    if (const Yaml* own = find(item, "run_dir")) {
      fault(*own, {.what = "a step has no run_dir of its own",
                   .expected = "none: its run directory is the pipeline's run_dir/NAME"});
      remove_key(recipe, "run_dir");
    }
    for_each_path(recipe, [&](const Yaml& text) { add_dependency(text, result); });
    earlier_.push_back(result.name);
    if (!stage) return;
    result.stage = *stage;
    // The pipeline's attributes are those that its steps train; who reads a model folder has the folder's.
    const bool own_attributes = find(recipe, "attributes") != nullptr;
    merge_defaults(recipe, *stage);
    recipe.entries.push_back({"run_dir", item.where, make_text(directory_of(result.name), item.where)});
    const Recipe read = resolve(recipe, *stage, faults_);
    Yaml resolved = recipe_tree(read);
    if (!read.attributes_given || (has_folder_attributes(*stage) && !own_attributes))
      remove_key(resolved, "attributes");  // the model folder and the data say it
    Yaml listed = resolved;
    remove_key(listed, "run_dir");
    listed.entries.insert(listed.entries.begin(), {"name", "", make_text(result.name, "")});
    steps_->items.push_back(std::move(listed));
    for_each_path(resolved, [&](Yaml& text) {
      const std::string name = referenced_step(text.text);
      if (name.empty()) return;
      text.text = directory_of(name == own_name ? result.name : name) + text.text.substr(1 + name.size());
    });
    result.recipe_yaml = write_yaml(resolved);
    pipeline_.steps.push_back(std::move(result));
  }

  std::string read_name(const Yaml& item) {
    static const std::regex pattern("[A-Za-z0-9_][A-Za-z0-9_-]{0,63}");
    const Yaml* node = find(item, "name");
    std::string name;
    if (node == nullptr) {
      fault(item, {.what = "missing key 'name' of a step"});
      return name;
    }
    const size_t before = faults_.size();
    Decoder(Stage::pipeline, faults_).value(*node, name, "name", {});
    if (faults_.size() != before) return name;
    if (!std::regex_match(name, pattern)) {
      fault(*node,
            {.what = "not a name for a step", .found = "'" + name + "'", .expected = "letters, digits, _ and -"});
    } else if (name == own_name) {
      fault(*node, {.what = "no step can be named 'self'", .advice = "'@self/…' is the step that it stands in"});
    } else if (std::find(earlier_.begin(), earlier_.end(), name) != earlier_.end()) {
      fault(*node, {.what = "two steps have the name '" + name + "'"});
    }
    return name;
  }

  std::optional<Stage> read_step_stage(const Yaml& item) {
    try {
      std::vector<Fault> found;
      const Stage stage = read_stage(item, found);
      if (stage != Stage::pipeline) return stage;
      fault(*find(item, "stage"), {.what = "a step cannot be a pipeline"});
    } catch (const Error& error) {
      faults_.insert(faults_.end(), error.faults().begin(), error.faults().end());
    }
    return std::nullopt;
  }

  void add_dependency(const Yaml& text, PipelineStep& step) {
    const std::string name = referenced_step(text.text);
    if (!text.text.starts_with('@') || name == own_name) return;
    if (std::find(earlier_.begin(), earlier_.end(), name) == earlier_.end()) {
      std::string advice = suggest(name, earlier_);
      if (advice.empty()) advice = earlier_.empty() ? "this is the first step" : "earlier steps are " + join(earlier_);
      fault(text, {.what = "'" + text.text + "' refers to no earlier step", .advice = advice});
    } else if (std::find(step.depends_on.begin(), step.depends_on.end(), name) == step.depends_on.end()) {
      step.depends_on.push_back(name);
    }
  }

  // The pipeline's keys are the defaults of the steps that use them. As with the method's, a step that gives names or a
  // range takes no attributes.defaults from above.
  void merge_defaults(Yaml& recipe, Stage stage) {
    const std::vector<KeyInfo> keys = describe({.stage = stage});
    for (const char* key : {"method", "seed", "device", "precision", "attributes", "template"}) {
      const Yaml* above = find(tree_, key);
      if (above == nullptr || !has_key(keys, key)) continue;
      // These take the template of the model folders that the steps before them have made.
      const bool of_folder = stage == Stage::annotate || stage == Stage::generate;
      if (of_folder && key == std::string_view("template")) continue;
      Yaml* own = find(recipe, key);
      // What such a step says of attributes is compared with its model folder's, of which the pipeline says nothing.
      if (own != nullptr && has_folder_attributes(stage) && key == std::string_view("attributes")) continue;
      if (own == nullptr) {
        recipe.entries.push_back({key, above->where, *above});
        continue;
      }
      const bool own_labels =
          find(*own, "names") != nullptr || find(*own, "min") != nullptr || find(*own, "max") != nullptr;
      for (const YamlEntry& entry : above->entries) {
        if (find(*own, entry.key) == nullptr && !(own_labels && entry.key == "defaults")) own->entries.push_back(entry);
      }
    }
  }

  std::string directory_of(const std::string& name) const { return (Path(pipeline_.run_dir) / name).string(); }

  const Yaml& tree_;
  std::vector<Fault>& faults_;
  Pipeline pipeline_;
  Yaml* steps_ = nullptr;  // of the resolved pipeline
  std::vector<std::string> earlier_;
};

// A fault in a default of the pipeline is found again in each step that takes it; throw_faults tells it once.
Pipeline read_pipeline(const Yaml& tree, std::vector<Fault>& faults) {
  Pipeline pipeline = PipelineReader(tree, faults).read();
  throw_faults(std::move(faults));
  return pipeline;
}

}  // namespace

Pipeline load_pipeline(const std::string& path_or_dash, std::span<const std::string> overrides) {
  std::vector<Fault> faults;
  const Yaml tree = read_recipe_tree(read_recipe(path_or_dash), overrides, faults);
  const Stage stage = read_stage(tree, faults);
  if (stage != Stage::pipeline) {
    fail(ExitCode::recipe, {.what = "this is a recipe of another stage",
                            .where = where_of(tree, "stage"),
                            .found = "'" + std::string(enum_name(stage)) + "'",
                            .expected = "'pipeline'"});
  }
  return read_pipeline(tree, faults);
}

std::variant<Recipe, Pipeline> load_any(const RecipeText& text, std::span<const std::string> overrides) {
  std::vector<Fault> faults;
  const Yaml tree = read_recipe_tree(text, overrides, faults);
  const Stage stage = read_stage(tree, faults);
  if (stage == Stage::pipeline) return read_pipeline(tree, faults);
  Recipe recipe = resolve(tree, stage, faults);
  throw_faults(std::move(faults));
  return recipe;
}

std::variant<Recipe, Pipeline> load_any(const std::string& path_or_dash, std::span<const std::string> overrides) {
  return load_any(read_recipe(path_or_dash), overrides);
}

}  // namespace steerlm
