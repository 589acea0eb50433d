// What the names and dtypes of a folder's tensors say of who wrote them.
#pragma once

#include <string>
#include <string_view>

#include "hf/weight_files.h"

namespace steerlm {

// Throws model where the weights are quantised (bitsandbytes, GPTQ, AWQ, fp8, compressed-tensors, MLX, HQQ, quanto) or
// have a prefix that no family has, and says how to get weights that can be read.
void check_weight_kind(const WeightFiles& files, const Path& folder);

// How to get weights that are not quantised, by the name of what quantised them ("bitsandbytes, 4 bit").
std::string whole_weights_advice(std::string_view maker);

}  // namespace steerlm
