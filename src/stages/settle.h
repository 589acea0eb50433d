#pragma once

#include "steerlm/recipe/recipe.h"

namespace steerlm {

// The recipe as it will run, which recipe.yaml of the run directory shows: `auto` is replaced by what this machine
// gives, and where the recipe says nothing, attributes and template are those of the model folder it starts from; an
// sft whose recipe and folder name no attributes has none if no training record has a label, which reads the data. A
// recipe that contradicts the folder throws recipe, a folder that cannot be read throws model, a device that this build
// cannot use throws resources.
Recipe settle_recipe(Recipe recipe);

}  // namespace steerlm
