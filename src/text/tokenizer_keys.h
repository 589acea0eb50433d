// The keys of tokenizer_config.json and special_tokens_map.json: which change ids, which do not, and that others are
// refused.
#pragma once

#include <string>

#include "steerlm/core/json.h"

namespace steerlm {

// A token of its own: bos_token, pad_token, and the model's own such as image_token, which Transformers makes special.
bool is_token_key(const std::string& key);

// Throws model for a key that is not known (all of them at once), and for one that changes ids with a value that is not
// implemented.
void check_tokenizer_config_keys(const Json& json, const std::string& where);
void check_special_tokens_map_keys(const Json& json, const std::string& where);

}  // namespace steerlm
