// Entering new special tokens into the tokenizer files of a model folder.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

struct NewToken {
  std::string text;
  std::int32_t id = 0;  // no token of the folder has it
};

// As tokenizer.add_tokens(AddedToken(text, special=True, normalized=False)) and save_pretrained of Transformers leave
// them: 'added_tokens' of tokenizer.json; 'added_tokens_decoder' of tokenizer_config.json, which is made beside a
// tokenizer.model; added_tokens.json if it is there. Throws model for a file that is not what it should be.
void enter_new_tokens(const Path& folder, const std::vector<NewToken>& tokens);

}  // namespace steerlm
