// What there is to write in a recipe, made from the fields() of the structs.
#pragma once

#include <string>

#include "steerlm/recipe/recipe.h"

namespace steerlm {

std::string recipe_schema();     // JSON Schema, draft 2020-12, one definition a stage
std::string recipe_reference();  // docs/recipes.md

// A recipe of the stage to start from: every key with its meaning and, as a comment, its default; those that must be
// given are there without a value. It is a recipe without faults once these are filled in.
std::string starting_recipe(Stage stage);

}  // namespace steerlm
