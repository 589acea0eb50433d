// What the tokenizer class that a folder names makes of its tokenizer.json. Transformers 5 takes the vocabulary,
// merges, added tokens and post-processor of the file, and for some classes builds the other steps itself
// (tokenization_auto.py; __init__ of LlamaTokenizer, Qwen2Tokenizer, GPT2Tokenizer).
#pragma once

#include <string>
#include <vector>

#include "text/tokenizer_json.h"

namespace steerlm {

// Changes `json` so, and adds the class's own special tokens to `config`. Throws model for a class that is not
// implemented. What a user must be told goes into `notes`.
void apply_tokenizer_class(TokenizerJson& json, TokenizerConfig& config, const std::string& where,
                           std::vector<std::string>& notes);

// Throws model where the class reads a tokenizer.model in another way than LlamaTokenizer.
void check_spm_class(const TokenizerConfig& config, const std::string& where);

}  // namespace steerlm
