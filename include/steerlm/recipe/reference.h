// What there is to write in a recipe, made from the fields() of the structs.
#pragma once

#include <string>

namespace steerlm {

std::string recipe_schema();     // JSON Schema, draft 2020-12, one definition a stage
std::string recipe_reference();  // docs/recipes.md

}  // namespace steerlm
