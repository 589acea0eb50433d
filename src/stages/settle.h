#pragma once

#include "steerlm/recipe/recipe.h"

namespace steerlm {

struct ModelFolder;

// The recipe as it will run, which recipe.yaml of the run directory shows: `auto` is replaced by what this machine
// gives, and where the recipe says nothing, attributes and template are those of the model folder it starts from; an
// sft whose recipe and folder name no attributes has none if no training record has a label, which reads the data. A
// recipe that contradicts the folder throws recipe, a folder that cannot be read throws model, a device that this build
// cannot use throws resources.
Recipe settle_recipe(Recipe recipe);

// Of a recipe that only reads the folder: throws recipe where it gives attributes with other names or another range
// than the folder declares. A folder without attributes binds nothing.
void check_labels(const ModelFolder& folder, const Recipe& recipe);
// The same of a model that is steered: nor may the recipe give other defaults.
void check_dials(const ModelFolder& folder, const Recipe& recipe);

}  // namespace steerlm
