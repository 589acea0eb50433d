#pragma once

#include <string>
#include <vector>

#include "recipe/yaml.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// A sentence for each key that the recipe gives and that its other keys make nothing of, for the log. The recipe of a
// pipeline's step names every key that has a say: what is at its default there was given by nobody.
std::vector<std::string> keys_without_effect(const Recipe& recipe, const Yaml& tree);

}  // namespace steerlm
