// What a tokenizer.json says, read and checked: the file format of the library `tokenizers`.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "text/tokenizer_config.h"

namespace steerlm {

struct NormalizerStep {
  enum class Kind { nfc, prepend, replace } kind;
  std::string pattern;  // replace
  std::string content;  // prepend, replace
};

struct PreTokenizerStep {
  enum class Kind { split, byte_level, metaspace } kind;
  std::string pattern;            // split; byte_level, where not empty: a regular expression
  bool literal = false;           // split: the pattern is a text
  bool drop_matches = false;      // split: behaviour Removed
  bool drop_rest = false;         // split: behaviour Removed, inverted
  bool add_prefix_space = false;  // byte_level
  enum class Prepend { always, first, never } prepend = Prepend::never;  // metaspace
  bool split_words = false;                                              // metaspace
};

struct DecoderStep {
  enum class Kind { byte_level, replace, byte_fallback, fuse, strip, metaspace } kind;
  std::string pattern;  // replace; strip: one character
  std::string content;  // replace
  size_t start = 0;     // strip: so many at the front at most
  bool prefix = false;  // metaspace: the first token's ▁ are taken off
};

struct TokenizerJson {
  std::vector<std::pair<std::string, std::int32_t>> vocabulary;  // in the file's order; pieces and ids are unique
  std::vector<std::pair<std::string, std::string>> merges;       // by rank; parts and results are in the vocabulary
  std::optional<std::string> unknown;
  bool fuse_unknown = false;
  bool byte_fallback = false;
  bool ignore_merges = false;
  std::vector<AddedToken> added;  // each with its id, which is the vocabulary's or the next free one
  std::vector<NormalizerStep> normalizer;
  std::vector<PreTokenizerStep> pre_tokenizer;
  std::vector<DecoderStep> decoder;
  std::optional<std::int32_t> first;  // the id that the post-processor puts before a text
  std::optional<std::int32_t> last;   // and behind it
};

// GPT-2's expression, which ByteLevel uses by itself.
inline constexpr std::string_view gpt2_pattern =
    R"('s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+)";

// Throws model, naming the file and what is wrong in it: not JSON, a model that is not BPE, a step or an option that
// changes ids and is not implemented, ids out of range or given twice, merges and added tokens that contradict the
// vocabulary.
TokenizerJson read_tokenizer_json(std::string_view bytes, const std::string& where);

}  // namespace steerlm
