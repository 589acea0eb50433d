// The paths in a recipe's tree.
#pragma once

#include <vector>

#include "recipe/yaml.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// Writes the short forms out: `model: DIR` as `model: {path: DIR}`, `train: FILE` in `data` as a list of one source.
void expand_short_forms(Yaml& tree, Stage stage);

// A fault for each path with '~' or a variable that only a shell expands.
void check_paths(const Yaml& tree, std::vector<Fault>& faults);

}  // namespace steerlm
