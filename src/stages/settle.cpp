#include "stages/settle.h"

#include <fmt/format.h>

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

[[noreturn]] void contradiction(Stage stage, const std::string& key, const Path& folder, const std::string& found,
                                const std::string& expected) {
  fail(ExitCode::recipe, {.what = "the recipe contradicts the model folder " + folder.string(),
                          .where = key,
                          .found = found,
                          .expected = expected + ", as its steerlm.json says",
                          .advice = trains_labels(stage) ? "leave the key out, or start from another model"
                                                         : "leave 'attributes' out: they are the model folder's"});
}

void refuse_other_labels(const ModelFolder& folder, const Recipe& recipe) {
  const AttributeOptions &ours = recipe.attributes, &theirs = folder.attributes;
  if (ours.names != theirs.names) {
    contradiction(recipe.stage, "attributes.names", folder.path, ours.names.empty() ? "none" : join(ours.names),
                  join(theirs.names));
  }
  if (ours.min != theirs.min || ours.max != theirs.max) {
    contradiction(recipe.stage, "attributes", folder.path, fmt::format("{} to {}", ours.min, ours.max),
                  fmt::format("{} to {}", theirs.min, theirs.max));
  }
}

void settle_attributes(const ModelFolder& folder, Recipe& recipe) {
  const AttributeOptions& theirs = folder.attributes;
  const bool asks_for_none = recipe.attributes_given && recipe.attributes.names.empty();
  if (theirs.names.empty() || asks_for_none) return;
  if (recipe.attributes_given) return refuse_other_labels(folder, recipe);  // the defaults are the recipe's
  recipe.attributes = theirs;
  recipe.attributes_given = true;
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
  recipe.attributes_given = true;
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
  if (!recipe.attributes_given || folder.attributes.names.empty()) return;
  const auto& theirs = folder.attributes.defaults;
  for (const auto& [name, value] : recipe.attributes.defaults) {
    const auto found = theirs.find(name);
    const std::int64_t expected = found == theirs.end() ? folder.attributes.min : found->second;
    if (value == expected) continue;
    contradiction(recipe.stage, "attributes.defaults." + name, folder.path, std::to_string(value),
                  std::to_string(expected));
  }
}

}  // namespace steerlm
