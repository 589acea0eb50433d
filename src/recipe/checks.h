#pragma once

#include <vector>

#include "recipe/decode.h"
#include "recipe/yaml.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// What no single key can tell: required keys, keys that exclude each other, names and values that must fit together.
// `decoder` knows which sections are faulty already and need no second fault.
void check_recipe(const Recipe& recipe, const Yaml& tree, const Decoder& decoder, std::vector<Fault>& faults);

}  // namespace steerlm
