#include "recipe/resolve.h"

#include <algorithm>
#include <limits>
#include <regex>
#include <utility>

#include "recipe/checks.h"
#include "recipe/decode.h"
#include "recipe/overrides.h"
#include "recipe/paths.h"
#include "recipe/without_effect.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/suggest.h"
#include "steerlm/recipe/load.h"

namespace steerlm {

// The attributes of OASST as of 2023 (SteerLM, arXiv 2310.05344), of HelpSteer (2311.09528) and of HelpSteer2
// (2406.08673), and the values that these papers steer with.
AttributeOptions method_attributes(Method method) {
  switch (method) {
    case Method::helpsteer:
      return {.names = {"quality", "toxicity", "humor", "creativity", "helpfulness", "correctness", "coherence",
                        "complexity", "verbosity"},
              .min = 0,
              .max = 4,
              .defaults = {{"quality", 4},
                           {"toxicity", 0},
                           {"humor", 0},
                           {"creativity", 0},
                           {"helpfulness", 4},
                           {"correctness", 4},
                           {"coherence", 4},
                           {"complexity", 4},
                           {"verbosity", 4}}};
    case Method::helpsteer2:
      return {
          .names = {"helpfulness", "correctness", "coherence", "complexity", "verbosity"},
          .min = 0,
          .max = 4,
          .defaults = {{"helpfulness", 4}, {"correctness", 4}, {"coherence", 4}, {"complexity", 2}, {"verbosity", 2}}};
    case Method::steerlm:
      break;
  }
  return {.names = {"quality", "toxicity", "humor", "creativity", "violence", "helpfulness", "not_appropriate"},
          .min = 0,
          .max = 9,
          .defaults = {{"quality", 9}, {"helpfulness", 9}}};
}

namespace {

// Every name has a value to steer with: one without gets min.
void fill_defaults(AttributeOptions& attributes) {
  for (const std::string& name : attributes.names) attributes.defaults.try_emplace(name, attributes.min);
}

// Where the tree gives the keys of `attributes`.
AttributesGiven given_attributes(const Yaml& tree) {
  const auto place = [&](std::string_view path) {
    const Yaml* node = find_path(tree, path);
    return node == nullptr ? "" : node->where;
  };
  AttributesGiven given{
      .names = place("attributes.names"), .min = place("attributes.min"), .max = place("attributes.max")};
  if (const Yaml* defaults = find_path(tree, "attributes.defaults")) {
    for (const YamlEntry& entry : defaults->entries) given.defaults[entry.key] = entry.value.where;
  }
  return given;
}

// Line and column at the end of "sft.yaml:3:12"; what has none sorts last.
std::pair<int, int> position(const Fault& fault) {
  static const std::regex pattern(":([0-9]{1,8}):([0-9]{1,8})$");
  std::smatch match;
  if (fault.where.starts_with("override") || !std::regex_search(fault.where, match, pattern))
    return {std::numeric_limits<int>::max(), 0};
  return {std::stoi(match[1]), std::stoi(match[2])};
}

}  // namespace

void throw_faults(std::vector<Fault> faults) {
  std::stable_sort(faults.begin(), faults.end(),
                   [](const Fault& a, const Fault& b) { return position(a) < position(b); });
  const auto same = [](const Fault& a, const Fault& b) { return format_fault(a) == format_fault(b); };
  faults.erase(std::unique(faults.begin(), faults.end(), same), faults.end());
  if (!faults.empty()) throw Error(ExitCode::recipe, std::move(faults));
}

void apply_method_defaults(Recipe& recipe) {
  const bool predictor = recipe.stage == Stage::train_predictor;
  recipe.attributes = method_attributes(recipe.method);
  fill_defaults(recipe.attributes);
  recipe.head.kind = recipe.method == Method::steerlm ? PredictorKind::language_model : PredictorKind::regression;
  recipe.optimizer.learning_rate = recipe.method == Method::helpsteer2 ? 2e-6 : 5e-6;
  recipe.train.epochs.reset();
  recipe.train.steps.reset();
  if (recipe.stage == Stage::steerlm2) {  // HelpSteer2, section 4.5, whatever the policy was trained by
    recipe.optimizer.learning_rate = 1e-7;
    recipe.train.epochs = 2;
    return;
  }
  switch (recipe.method) {
    case Method::steerlm:
      recipe.train.epochs = 5;
      break;
    case Method::helpsteer:
      recipe.train.steps = 800;
      break;
    case Method::helpsteer2:
      if (predictor) {
        recipe.train.epochs = 2;
        recipe.schedule.warmup_steps = 10;
      } else {
        recipe.train.steps = 1600;
        recipe.train.batch_size = 384;
      }
  }
}

std::vector<std::string_view> required_keys(Stage stage) {
  switch (stage) {
    case Stage::tokenizer:
      return {"tokenizer.input", "tokenizer.output"};
    case Stage::annotate:
      return {"run_dir", "predictor", "input", "output"};
    case Stage::steerlm2:
      return {"run_dir", "policy"};
    case Stage::bootstrap:
      return {"run_dir", "policy", "predictor", "prompts", "labels_from"};
    case Stage::generate:
      return {"run_dir", "model", "prompts", "output"};
    case Stage::evaluate:
      return {"run_dir"};
    case Stage::pipeline:
      return {"run_dir", "steps"};
    case Stage::train_predictor:
    case Stage::sft:
      break;
  }
  return {"run_dir", "model", "data.train"};
}

RecipeText read_recipe(const std::string& path_or_dash) {
  if (path_or_dash != "-") return {path_or_dash, read_file(path_or_dash, ExitCode::recipe, "recipe")};
  RecipeText recipe{"stdin", ""};
  // One byte more than allowed is enough to know.
  while (recipe.text.size() <= max_recipe_bytes && read_standard_input(recipe.text, ExitCode::recipe)) {
  }
  return recipe;
}

Yaml read_recipe_tree(const RecipeText& recipe, std::span<const std::string> overrides, std::vector<Fault>& faults) {
  Yaml tree = parse_yaml(recipe.text, recipe.name, faults);
  apply_overrides(tree, overrides, faults);
  check_paths(tree, faults);
  return tree;
}

namespace {

// Of a tree without the key 'stage': that it is an experiment, or which key is likely to be meant.
Fault missing_stage(const Yaml& tree) {
  if (find(tree, "measures") != nullptr) {
    return {.what = "this is an experiment",
            .where = where_of(tree, "measures"),
            .expected = "a recipe, which has the key 'stage'",
            .advice = "`steerlm experiment FILE --out DIR` runs it"};
  }
  std::string advice;
  for (const YamlEntry& entry : tree.entries) {
    if (advice.empty() && !suggest(entry.key, {"stage"}).empty())
      advice = "did you mean 'stage' by '" + entry.key + "'?";
  }
  return {.what = "missing key 'stage'",
          .where = tree.where,
          .expected = "one of " + join(enum_choices<Stage>()),
          .advice = advice};
}

}  // namespace

Stage read_stage(const Yaml& tree, std::vector<Fault>& faults) {
  Stage stage = Stage::sft;
  const size_t before = faults.size();
  if (const Yaml* node = find(tree, "stage")) {
    Decoder(stage, faults).value(*node, stage, "stage", {});
    if (node->kind == Yaml::Kind::refused || faults.size() != before) throw Error(ExitCode::recipe, faults);
  } else {
    faults.push_back(missing_stage(tree));
    throw Error(ExitCode::recipe, faults);
  }
  return stage;
}

Recipe resolve(const Yaml& given, Stage stage, std::vector<Fault>& faults, const std::vector<std::string>& besides) {
  Yaml tree = given;
  expand_short_forms(tree, stage);
  Recipe recipe{.stage = stage};
  if (const Yaml* node = find(tree, "method")) recipe.method = enum_value<Method>(node->text).value_or(Method::steerlm);
  apply_method_defaults(recipe);
  const auto has = [&](std::string_view path) { return find_path(tree, path) != nullptr; };
  recipe.attributes_given = given_attributes(tree);
  recipe.template_given = {has("template.name"), has("template.system"), has("template.special_tokens")};
  const bool own_labels = has("attributes.names") || has("attributes.min") || has("attributes.max");
  const bool trains_labels = stage == Stage::train_predictor || stage == Stage::sft;
  if (own_labels) recipe.attributes.defaults.clear();
  if (!trains_labels) recipe.attributes = {};  // what the recipe does not give is the model folder's
  if (has("train.epochs")) recipe.train.steps.reset();
  if (has("train.steps")) recipe.train.epochs.reset();

  Decoder decoder(stage, faults);
  decoder.section(tree, recipe, "", besides);
  if (trains_labels) fill_defaults(recipe.attributes);
  for (auto* sources : {&recipe.data.train, &recipe.data.validation}) {
    for (SourceOptions& source : *sources) source.seed = static_cast<std::uint64_t>(recipe.seed);
  }
  if (recipe.head.kind == PredictorKind::ridge) {
    recipe.train.epochs.reset();
    recipe.train.steps.reset();
    recipe.checkpoint = {};
  }
  recipe.without_effect = keys_without_effect(recipe, tree);
  if (recipe.device != "auto") recipe.precision = settled_precision(recipe.precision, recipe.device);
  check_recipe(recipe, tree, decoder, faults);
  return recipe;
}

namespace {

Recipe resolve_single(const Yaml& tree, std::optional<Stage> expected, std::vector<Fault> faults) {
  const Stage stage = read_stage(tree, faults);
  if (expected && stage != *expected) {
    fail(ExitCode::recipe, {.what = "this is a recipe of another stage",
                            .where = where_of(tree, "stage"),
                            .found = "'" + std::string(enum_name(stage)) + "'",
                            .expected = "'" + std::string(enum_name(*expected)) + "'"});
  }
  if (stage == Stage::pipeline) {
    fail(ExitCode::recipe, {.what = "this recipe is a pipeline",
                            .where = where_of(tree, "stage"),
                            .expected = "a recipe of one stage",
                            .advice = "`steerlm pipeline` runs it"});
  }
  Recipe recipe = resolve(tree, stage, faults);
  throw_faults(std::move(faults));
  return recipe;
}

}  // namespace

std::optional<Stage> peek_stage(const std::string& text) {
  try {
    std::vector<Fault> faults;
    const Yaml tree = parse_yaml(text, "recipe", faults);
    return read_stage(tree, faults);
  } catch (const Error&) {
    return std::nullopt;
  }
}

Recipe load_recipe_text(const std::string& yaml, const std::string& name) {
  std::vector<Fault> faults;
  const Yaml tree = parse_yaml(yaml, name, faults);
  return resolve_single(tree, std::nullopt, std::move(faults));
}

Recipe load_recipe(const std::string& path_or_dash, std::span<const std::string> overrides,
                   std::optional<Stage> expected) {
  std::vector<Fault> faults;
  const Yaml tree = read_recipe_tree(read_recipe(path_or_dash), overrides, faults);
  return resolve_single(tree, expected, std::move(faults));
}

}  // namespace steerlm
