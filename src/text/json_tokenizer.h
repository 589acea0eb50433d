// A tokenizer.json with what its folder says of it. The members are those of Tokenizer, where they are described, but
// that BOS is left to it. Sources: the library `tokenizers`, whose results these are.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "text/added_token_matcher.h"
#include "text/bpe.h"
#include "text/regex.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_json.h"

namespace steerlm {

class JsonTokenizer {
 public:
  JsonTokenizer(std::string bytes, const Path& file, TokenizerConfig config);

  std::int64_t vocab_size() const { return static_cast<std::int64_t>(pieces_.size()); }
  std::string piece(std::int32_t id) const;
  std::optional<std::int32_t> find(std::string_view piece) const;
  std::int32_t bos() const { return bos_; }
  std::int32_t eos() const { return eos_; }
  bool add_bos() const { return add_bos_; }

  std::vector<std::int32_t> encode_line(std::string_view line) const;
  void append_first(std::string_view text, std::vector<std::int32_t>& ids) const;
  void append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const { ids.push_back(id); }
  void append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const;
  std::string decode(std::span<const std::int32_t> ids, bool at_start) const;

  const std::string& bytes() const { return bytes_; }
  const std::vector<std::string>& notes() const { return notes_; }
  const std::string& bytes_without_piece() const { return missing_bytes_; }
  std::string default_config() const;  // a tokenizer_config.json for a file that has none

 private:
  struct Use {
    bool special;  // special tokens in the text are matched
    bool prefix;   // what the tokenizer puts before a text
  };
  void add_tokens(const TokenizerConfig& config, const std::string& where);
  void index_tokens(const std::string& where);
  void find_ends(const TokenizerConfig& config);
  void encode(std::string_view text, Use use, std::vector<std::int32_t>& ids) const;
  void encode_stretch(std::string_view stretch, bool at_start, Use use, std::vector<std::int32_t>& ids) const;
  void encode_step(std::string_view text, size_t step, bool at_start, Use use, std::vector<std::int32_t>& ids) const;
  void encode_words(std::string_view text, std::vector<std::int32_t>& ids) const;
  std::string normalize(std::string_view text, bool prefix) const;

  std::string bytes_;
  TokenizerJson json_;
  std::vector<std::string> pieces_;  // by id; "": none
  StringIds ids_;
  std::unordered_map<std::int32_t, AddedToken> added_;
  AddedTokenMatcher raw_;                       // looked for in the text as it comes
  AddedTokenMatcher normalized_;                // and in the normalised text
  std::vector<std::optional<Regex>> patterns_;  // of the pre-tokenizer's steps
  std::optional<Bpe> bpe_;
  bool cut_at_spaces_ = false;  // no merge reaches over the start of a run of "▁"
  std::int32_t bos_ = -1;
  std::int32_t eos_ = -1;
  bool add_bos_ = false;
  bool split_special_ = false;  // special tokens in a text are text
  std::string missing_bytes_;
  std::vector<std::string> notes_;
};

// The text of tokens, by the decoder's steps. `at_start`: the prefix is taken off again.
std::string decode_tokens(const std::vector<DecoderStep>& steps, std::vector<std::string> tokens, bool at_start);

}  // namespace steerlm
