#pragma once

#include "steerlm/data/shard.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

// `shard` of a recipe of annotate or generate; all other recipes are no part. Throws recipe where it is one and its
// output goes straight through, "-" say: what describes a shard lies beside its output.
Shard recipe_shard(const Recipe& recipe);

}  // namespace steerlm
