// What the JSON files beside a tokenizer.model or tokenizer.json say.
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
  bool single_word = false;  // tokenizer.json: matched between characters that are not of words
  bool normalized = false;   // tokenizer.json: matched in the normalised text
};

struct TokenizerConfig {
  std::string class_name;       // tokenizer_class without "Fast", of config.json where there is none; "": none
  std::string model_type;       // of config.json; "": none
  std::optional<bool> add_bos;  // add_bos_token
  bool add_eos = false;         // add_eos_token
  bool class_adds_bos = false;  // what the tokenizer class does without the key
  bool legacy = true;           // the key, or what the class does without it
  std::optional<bool> add_prefix_space;
  bool split_special = false;                       // split_special_tokens: special tokens in a text are text
  std::optional<std::vector<std::string>> decoder;  // the tokens that added_tokens_decoder names
  std::string bos;                                  // "": the model's own
  std::string eos;
  std::vector<AddedToken> tokens;
  std::vector<std::string> named;       // those of them that a key like pad_token or a name of an object names
  std::vector<std::string> listed;      // those of lists like additional_special_tokens
  std::vector<std::string> token_keys;  // keys like pad_token that the files have, null or not
};

// Files of a model folder that belong to its tokenizer, beside tokenizer.model or tokenizer.json.
inline constexpr const char* tokenizer_side_files[] = {"tokenizer_config.json", "special_tokens_map.json",
                                                       "added_tokens.json"};

// Adds a special token by its text, or makes the one that is there special.
void name_special_token(const std::string& text, TokenizerConfig& config);

// Whether `named` or `listed` has the text.
bool is_named(const std::string& text, const TokenizerConfig& config);
bool is_listed(const std::string& text, const TokenizerConfig& config);

// The id, if it is one that a vocabulary can have: 0 to 2^24. Throws model.
std::int32_t check_token_id(std::int64_t id, const std::string& token, const std::string& where);

// Tokens without an id that are in no vocabulary: Transformers makes new ids for them, which the model has no rows for.
void note_left_out(const std::vector<std::string>& tokens, std::vector<std::string>& notes);

// Reads tokenizer_config.json, special_tokens_map.json and added_tokens.json, each if it is there. Throws model.
TokenizerConfig read_tokenizer_config(const Path& folder);

}  // namespace steerlm
