#include "stages/settle.h"

#include <fmt/format.h>

#include <algorithm>

#include "stages/encoded_data.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/dataset.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/hf/folder_template.h"
#include "steerlm/nn/device.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/base_model.h"

namespace steerlm {
namespace {

bool trains_labels(Stage stage) { return stage == Stage::train_predictor || stage == Stage::sft; }

// Where a key of the recipe stands; a step's recipe is the pipeline's own text, in which the user finds the key alone.
std::string where_is(const std::string& key, const std::string& place) {
  const bool of_step = place.starts_with("stdin:") || place.starts_with("step ");
  return of_step ? key : place;
}

[[noreturn]] void contradiction(Stage stage, const std::string& key, const std::string& place, const Path& folder,
                                const std::string& found, const std::string& expected) {
  fail(ExitCode::recipe, {.what = "'" + key + "' of the recipe contradicts the model folder " + folder.string(),
                          .where = where_is(key, place),
                          .found = found,
                          .expected = expected + ", as its steerlm.json says",
                          .advice = trains_labels(stage) ? "leave the key out, or start from another model"
                                                         : "leave the key out: it is the model folder's"});
}

// Throws recipe where the recipe gives a default for a name that is none of these attributes, or out of their range.
void check_defaults(const Recipe& recipe, const AttributeOptions& attributes, const std::string& whose) {
  for (const auto& [name, place] : recipe.attributes_given.defaults) {
    const std::string key = "attributes.defaults." + name;
    if (std::ranges::find(attributes.names, name) == attributes.names.end()) {
      fail(ExitCode::recipe, {.what = "unknown attribute '" + name + "' in 'attributes.defaults'",
                              .where = where_is(key, place),
                              .expected = "one of " + join(attributes.names) + ", " + whose,
                              .advice = suggest(name, attributes.names)});
    }
    const std::int64_t value = recipe.attributes.defaults.at(name);
    if (value < attributes.min || value > attributes.max) {
      fail(ExitCode::recipe,
           {.what = "'" + key + "' is out of range",
            .where = where_is(key, place),
            .found = std::to_string(value),
            .expected = fmt::format("an integer from {} to {}, {}", attributes.min, attributes.max, whose)});
    }
  }
}

// Of the keys that the recipe gives; the others are the folder's.
void refuse_other_labels(const ModelFolder& folder, const Recipe& recipe) {
  const AttributeOptions &ours = recipe.attributes, &theirs = folder.attributes;
  const AttributesGiven& given = recipe.attributes_given;
  if (!given.names.empty() && ours.names != theirs.names) {
    contradiction(recipe.stage, "attributes.names", given.names, folder.path,
                  ours.names.empty() ? "none" : join(ours.names), join(theirs.names));
  }
  if (!given.min.empty() && ours.min != theirs.min) {
    contradiction(recipe.stage, "attributes.min", given.min, folder.path, std::to_string(ours.min),
                  std::to_string(theirs.min));
  }
  if (!given.max.empty() && ours.max != theirs.max) {
    contradiction(recipe.stage, "attributes.max", given.max, folder.path, std::to_string(ours.max),
                  std::to_string(theirs.max));
  }
  check_defaults(recipe, theirs, "as steerlm.json of " + folder.path.string() + " says");
}

// Key by key, and of `defaults` attribute by attribute: the recipe's, else the folder's; the method's where the folder
// has no attributes.
void settle_attributes(const ModelFolder& folder, Recipe& recipe) {
  const AttributesGiven& given = recipe.attributes_given;
  const bool asks_for_none = !given.names.empty() && recipe.attributes.names.empty();
  if (!folder.attributes.names.empty() && !asks_for_none) {
    refuse_other_labels(folder, recipe);
    AttributeOptions settled = folder.attributes;
    for (const auto& [name, place] : given.defaults) settled.defaults[name] = recipe.attributes.defaults.at(name);
    recipe.attributes = std::move(settled);
    recipe.attributes_given = {.all = true};
  } else if (given) {
    if (recipe.attributes.min >= recipe.attributes.max) {
      fail(ExitCode::recipe,
           {.what = "'attributes.max' must be above 'attributes.min'",
            .where = given.max.empty() ? where_is("attributes.min", given.min) : where_is("attributes.max", given.max),
            .found = fmt::format("{} to {}", recipe.attributes.min, recipe.attributes.max)});
    }
    check_defaults(recipe, recipe.attributes, "as recipe and method " + std::string(enum_name(recipe.method)) + " say");
    recipe.attributes_given = {.all = true};
  }
}

// Attributes that nobody asked for are those of the method, for labels that the data has. Without a label there are
// none: a model that has never seen a label line has no dials.
void settle_dials(Recipe& recipe) {
  const bool plain = recipe.text_template.name == TemplateName::plain;
  if (recipe.stage != Stage::sft || plain || recipe.attributes_given) return;
  const KnownFiles known = known_inputs(recipe);
  const std::optional<std::string> fact = fact_of_no_labels(recipe, known);
  if (!(fact && known.knows(*fact)) && has_labels(recipe.data.train, make_attributes(recipe.attributes))) return;
  recipe.attributes = {};
  recipe.attributes_given = {.all = true};
  recipe.without_labels = true;
}

}  // namespace

Recipe settle_recipe(Recipe recipe) {
  if (recipe.stage != Stage::tokenizer) recipe.precision = computing_of(recipe).precision;
  if (!trains_labels(recipe.stage)) return recipe;
  if (!recipe.model.path.empty()) {
    const ModelFolder folder = open_folder(recipe.model.path, template_request(recipe)).folder;
    settle_attributes(folder, recipe);
    recipe.text_template = folder.text_template;
    recipe.template_given = {true, true, true};
  }
  settle_dials(recipe);
  settle_ratings(recipe);
  return recipe;
}

void check_labels(const ModelFolder& folder, const Recipe& recipe) {
  if (recipe.attributes_given && !folder.attributes.names.empty()) refuse_other_labels(folder, recipe);
}

void check_dials(const ModelFolder& folder, const Recipe& recipe) {
  check_labels(folder, recipe);
  if (folder.attributes.names.empty()) return;
  const auto& theirs = folder.attributes.defaults;
  for (const auto& [name, place] : recipe.attributes_given.defaults) {
    const std::int64_t value = recipe.attributes.defaults.at(name);
    const auto found = theirs.find(name);
    const std::int64_t expected = found == theirs.end() ? folder.attributes.min : found->second;
    if (value == expected) continue;
    contradiction(recipe.stage, "attributes.defaults." + name, place, folder.path, std::to_string(value),
                  std::to_string(expected));
  }
}

}  // namespace steerlm
