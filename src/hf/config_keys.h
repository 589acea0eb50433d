// Which keys of a config.json are read, which are harmless, and that all others are refused.
#pragma once

#include "steerlm/core/json_fields.h"
#include "steerlm/nn/options.h"

namespace steerlm {

// Throws model for a key that is not known (all of them at once), and for a known key with a value that changes the
// computation and is not implemented. Transformers ignores some of them in these families; a folder that has them was
// made for other code, and its numbers would be wrong.
void check_config_keys(JsonFields& reader, ModelFamily family);

// The weights are quantised, by whatever maker: refuses the key that says so.
void refuse_quantisation(JsonFields& reader);

}  // namespace steerlm
