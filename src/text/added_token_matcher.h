// Finding the added tokens of a tokenizer.json in a text.
#pragma once

#include <array>
#include <cstdint>
#include <string_view>
#include <vector>

#include "text/bpe.h"
#include "text/tokenizer_config.h"

namespace steerlm {

// A set of tokens that is looked for in one pass. Of all that start at a place the longest counts.
class AddedTokenMatcher {
 public:
  // A part of a text: a token, with the spaces that it takes, or what lies between tokens (id -1), which may be empty
  // only where the text is.
  struct Part {
    std::string_view text;
    std::int32_t id;
  };

  // `spelling`: what is looked for.
  void add(std::string spelling, const AddedToken& token, bool hidden);

  // As `tokenizers` splits, added_vocabulary.rs: what matches and is passed over, a hidden token (unless `show_hidden`)
  // or a single_word inside a word, still hides what begins within it.
  std::vector<Part> split(std::string_view text, bool show_hidden) const;

 private:
  struct Entry {
    AddedToken token;
    bool hidden;
  };
  const Entry* longest_at(std::string_view text, size_t* length) const;

  std::vector<Entry> entries_;
  StringIds spellings_;                           // to an index of entries_
  std::array<std::vector<size_t>, 256> lengths_;  // of the spellings with this first byte, descending
};

}  // namespace steerlm
