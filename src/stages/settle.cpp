#include "stages/settle.h"

#include <fmt/format.h>

#include "steerlm/core/suggest.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/device.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

[[noreturn]] void contradiction(const std::string& key, const Path& folder, const std::string& found,
                                const std::string& expected) {
  fail(ExitCode::recipe, {.what = "the recipe contradicts the model folder " + folder.string(),
                          .where = key,
                          .found = found,
                          .expected = expected + ", as its steerlm.json says",
                          .advice = "leave the key out, or start from another model"});
}

void settle_attributes(const ModelFolder& folder, Recipe& recipe) {
  const AttributeOptions &ours = recipe.attributes, &theirs = folder.attributes;
  if (theirs.names.empty()) return;
  if (recipe.attributes_given) {
    if (ours.names != theirs.names)
      contradiction("attributes.names", folder.path, join(ours.names), join(theirs.names));
    if (ours.min != theirs.min || ours.max != theirs.max) {
      contradiction("attributes", folder.path, fmt::format("{} to {}", ours.min, ours.max),
                    fmt::format("{} to {}", theirs.min, theirs.max));
    }
    return;  // the defaults are the recipe's
  }
  recipe.attributes = theirs;
  recipe.attributes_given = true;
}

// A folder trained on plain text says nothing on how a conversation is written.
void settle_template(const ModelFolder& folder, Recipe& recipe) {
  const TemplateOptions &ours = recipe.text_template, &theirs = folder.text_template;
  if (folder.template_sha256.empty() || theirs.name == TemplateName::plain) return;
  if (recipe.template_given) {
    const auto text = [](auto value) { return std::string(enum_name(value)); };
    if (ours.name != theirs.name) contradiction("template.name", folder.path, text(ours.name), text(theirs.name));
    if (ours.system != theirs.system) contradiction("template.system", folder.path, ours.system, theirs.system);
    if (ours.name == TemplateName::steerlm && ours.special_tokens != theirs.special_tokens) {
      contradiction("template.special_tokens", folder.path, text(ours.special_tokens), text(theirs.special_tokens));
    }
  }
  recipe.text_template = theirs;
  recipe.template_given = true;
}

// Attributes that nobody asked for are the method's, but where the data is HelpSteer's: its ratings have names and a
// range of their own, of which those of method steerlm would leave out four.
void settle_ratings(Recipe& recipe) {
  const bool open = recipe.method == Method::steerlm && !recipe.attributes_given;
  if (!open || !are_rated_as_helpsteer(recipe.data.train)) return;
  recipe.attributes = method_attributes(Method::helpsteer2);
  recipe.attributes_given = true;
}

}  // namespace

Recipe settle_recipe(Recipe recipe) {
  require_device(recipe.device, "device");
  recipe.precision = settled_precision(recipe.precision, recipe.device);
  const bool trains = recipe.stage == Stage::train_predictor || recipe.stage == Stage::sft;
  if (!trains) return recipe;
  if (!recipe.model.path.empty()) {
    const ModelFolder folder = open_model_folder(recipe.model.path);
    settle_attributes(folder, recipe);
    settle_template(folder, recipe);
  }
  settle_ratings(recipe);
  return recipe;
}

}  // namespace steerlm
