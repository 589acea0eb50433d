#pragma once

#include <string>

#include "steerlm/data/shard.h"

namespace steerlm {

// `shard` of a recipe. Throws recipe where it is a part and its output goes straight through, "-" say: what describes
// a shard lies beside its output.
Shard recipe_shard(const std::string& shard, const std::string& output);

}  // namespace steerlm
