#include <algorithm>
#include <initializer_list>

#include "recipe/encode.h"
#include "recipe/resolve.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

void drop(Yaml& root, std::string_view path) {
  const size_t dot = path.rfind('.');
  Yaml* section = &root;
  if (dot != std::string_view::npos) section = const_cast<Yaml*>(find_path(root, path.substr(0, dot)));
  if (section == nullptr) return;
  const std::string_view key = dot == std::string_view::npos ? path : path.substr(dot + 1);
  std::erase_if(section->entries, [&](const YamlEntry& entry) { return entry.key == key; });
}

// Of `attributes`, what the recipe leaves to a model folder.
void drop_attributes(Yaml& root, const AttributesGiven& given) {
  Yaml* attributes = find(root, "attributes");
  if (attributes == nullptr) return;
  if (Yaml* defaults = find(*attributes, "defaults"))
    std::erase_if(defaults->entries, [&](const YamlEntry& entry) { return !given.defaults.contains(entry.key); });
  if (given.names.empty()) drop(root, "attributes.names");
  if (given.min.empty()) drop(root, "attributes.min");
  if (given.max.empty()) drop(root, "attributes.max");
  if (given.defaults.empty()) drop(root, "attributes.defaults");
}

}  // namespace

// The keys that every recipe may have but this stage makes nothing of, and those that another key has put out of work.
Yaml recipe_tree(const Recipe& recipe) {
  Yaml tree = encode(recipe);
  const auto drop_if = [&](bool idle, std::initializer_list<std::string_view> paths) {
    if (idle) std::for_each(paths.begin(), paths.end(), [&](std::string_view path) { drop(tree, path); });
  };
  const auto stage_is = [&](auto... stages) { return ((recipe.stage == stages) || ...); };
  const bool trains = stage_is(Stage::train_predictor, Stage::sft, Stage::bootstrap, Stage::steerlm2);
  const bool steerlm2 = stage_is(Stage::steerlm2), samples = !recipe.steerlm2.prompts.empty();
  const bool bootstrap = stage_is(Stage::bootstrap), evaluate = stage_is(Stage::evaluate);
  drop_if(!trains, {"method"});
  drop_if(stage_is(Stage::annotate), {"seed"});
  drop_if(stage_is(Stage::tokenizer), {"device", "precision"});
  drop_if(recipe.precision == Precision::automatic, {"precision"});
  drop_if(recipe.run_dir.empty(), {"run_dir"});

  const bool uses_model = !recipe.model.path.empty() && (!bootstrap || recipe.bootstrap.start_from == StartFrom::base);
  drop_if(recipe.model.path.empty(), {"model.path"});
  drop_if(!recipe.model.init, {"model.tokenizer"});
  drop_if((bootstrap || evaluate) && !uses_model, {"model"});
  drop_if(has_folder_attributes(recipe.stage) && !recipe.attributes_given, {"attributes"});
  // What a recipe leaves to a model folder is not ours to name: another folder has another template.
  const bool folder = !recipe.model.init;
  if (folder && recipe.attributes_given && !recipe.attributes_given.all) drop_attributes(tree, recipe.attributes_given);
  drop_if(folder && !recipe.template_given.name, {"template.name"});
  drop_if(folder && !recipe.template_given.system, {"template.system"});
  drop_if(folder && !recipe.template_given.special_tokens, {"template.special_tokens"});
  drop_if(folder && !recipe.template_given, {"template"});
  drop_if(bootstrap && !recipe.bootstrap.mix_original, {"data.train"});
  drop_if(steerlm2 && samples, {"data.train"});
  drop_if(steerlm2 && !samples, {"prior", "predictor", "prompts", "max_prompts", "set", "samples_per_prompt",
                                 "sampling", "beta", "batch_tokens", "iterations"});
  drop_if(recipe.data.validation.empty(), {"data.validation"});
  drop_if(recipe.data.validation_fraction == 0, {"data.validation_fraction"});
  drop_if(evaluate && recipe.data.validation.empty(), {"data"});
  drop_if(evaluate, {"data.train", "data.validation_fraction", "data.shuffle", "model.tokenizer"});
  drop_if(recipe.data.fold.empty(), {"data.fold"});
  drop_if(recipe.data.cache_dir.empty(), {"data.cache_dir"});
  const bool ridge = recipe.head.kind == PredictorKind::ridge;
  drop_if(recipe.head.kind != PredictorKind::regression, {"head.loss", "head.bias"});
  drop_if(!ridge, {"head.pooling", "head.penalties", "head.penalty_folds"});
  drop_if(!ridge || recipe.head.features.empty(), {"head.features"});
  drop_if(ridge, {"optimizer", "schedule", "evaluate", "checkpoint", "train.epochs", "train.steps", "train.batch_size",
                  "train.recompute", "data.shuffle", "data.cache_dir"});
  drop_if(!is_pairwise(recipe.head.loss) || recipe.head.attribute_weights.empty(), {"head.attribute_weights"});
  drop_if(recipe.pairs && recipe.pairs->attribute_weights.empty(), {"pairs.attribute_weights"});
  drop_if(recipe.schedule.kind == ScheduleKind::constant, {"schedule.min_learning_rate", "schedule.decay_steps"});
  drop_if(evaluate && recipe.predictor.empty(), {"predictor"});
  drop_if(recipe.dials && recipe.dials->levels.empty(), {"dials.levels"});
  drop_if(recipe.dials && recipe.dials->measures.empty(), {"dials.measures"});
  drop_if(recipe.dials && recipe.dials->edges.empty(), {"dials.edges"});
  drop_if(recipe.dials && recipe.dials->perplexity_model.empty(), {"dials.perplexity_model"});
  if (Yaml* dials = find(tree, "dials"); dials != nullptr && recipe.dials->attributes.empty())
    *find(*dials, "attributes") = make_text("all", "");
  return tree;
}

std::string dump_recipe(const Recipe& recipe) { return write_yaml(recipe_tree(recipe)); }

}  // namespace steerlm
