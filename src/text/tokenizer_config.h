// What the JSON files beside a tokenizer.model say.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

struct AddedToken {
  std::string text;
  std::optional<std::int32_t> id;  // where a file gives one
  bool special = false;
  bool strip_left = false;   // spaces before it are dropped
  bool strip_right = false;  // spaces behind it are dropped
};

struct TokenizerConfig {
  bool add_bos = false;
  bool legacy = true;  // Transformers 4: a missing key means so; 5 does the same without a tokenizer_config.json
  std::string bos;     // "": the model's own
  std::string eos;
  std::vector<AddedToken> tokens;
};

// Files of a model folder that belong to its tokenizer, beside tokenizer.model.
inline constexpr const char* tokenizer_side_files[] = {"tokenizer_config.json", "special_tokens_map.json", "added_tokens.json",
                                                       "tokenizer.json"};

// Reads tokenizer_config.json, special_tokens_map.json and added_tokens.json, each if it is there. Throws model.
TokenizerConfig read_tokenizer_config(const Path& folder);

}  // namespace steerlm
