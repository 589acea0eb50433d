// From the tree of one stage's recipe to a checked Recipe.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "recipe/yaml.h"
#include "steerlm/recipe/load.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// Parses the text and applies the overrides. Throws where no tree comes of it; else adds to `faults`.
Yaml read_recipe_tree(const RecipeText& recipe, std::span<const std::string> overrides, std::vector<Fault>& faults);

// The stage that the tree names; throws `faults` where it names none.
Stage read_stage(const Yaml& tree, std::vector<Fault>& faults);

// What the method sets for recipes of `recipe.stage` (contracts.md section 3).
void apply_method_defaults(Recipe& recipe);

// Method defaults, the tree, the checks that need more than one key. The result is whole only where no fault was added.
// `besides`: top-level keys that the caller reads.
Recipe resolve(const Yaml& given, Stage stage, std::vector<Fault>& faults,
               const std::vector<std::string>& besides = {});

// Throws the faults, if there are any, in the order of the file and each one once; those of overrides come last.
void throw_faults(std::vector<Fault> faults);

// The dotted paths that a recipe of this stage must give.
std::vector<std::string_view> required_keys(Stage stage);

// The tree that dump_recipe prints.
Yaml recipe_tree(const Recipe& recipe);

}  // namespace steerlm
