// A tokenizer.model with what its folder says of it. The members are those of Tokenizer, where they are described, but
// that BOS is left to it.
#pragma once

#include <sentencepiece_processor.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "steerlm/core/json.h"
#include "text/added_token_matcher.h"
#include "text/spm_model.h"
#include "text/tokenizer_config.h"

namespace steerlm {

class SpmTokenizer {
 public:
  SpmTokenizer(std::string bytes, const Path& file, TokenizerConfig config);

  std::int64_t vocab_size() const { return vocab_size_; }
  std::string piece(std::int32_t id) const;
  std::optional<std::int32_t> find(std::string_view piece) const;
  std::int32_t bos() const { return bos_; }
  std::int32_t eos() const { return eos_; }
  bool add_bos() const { return add_bos_; }

  std::vector<std::int32_t> encode_line(std::string_view line) const;
  void append_first(std::string_view text, std::vector<std::int32_t>& ids) const;
  void append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const;
  void append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const;
  std::string decode(std::span<const std::int32_t> ids, bool at_start) const;

  const std::string& bytes() const { return bytes_; }
  const std::vector<std::string>& notes() const { return notes_; }
  const std::string& bytes_without_piece() const { return none_; }
  std::int64_t model_size() const { return spm_size(); }  // pieces of the model itself, before the added ones
  // What Transformers needs beside the model; nothing for BPE that leaves a text as it is, which LlamaTokenizer reads,
  // and where there is none.
  std::optional<Json> as_tokenizer_json() const;
  // Where Transformers gives other ids for a folder that has no tokenizer.json of its own; "": nowhere. `configured`:
  // it has a tokenizer_config.json, and gets none.
  std::string note_on_transformers(bool configured) const;
  std::string default_config() const;  // a tokenizer_config.json for a file that has none

 private:
  using Processor = std::shared_ptr<const sentencepiece::SentencePieceProcessor>;

  std::int32_t spm_size() const { return static_cast<std::int32_t>(spm_.pieces.size()); }
  void settle_prefix();
  void add_tokens();
  void make_processors(const Path& file);
  void settle_json(const Path& file);
  void encode(const Processor& processor, std::string_view text, std::vector<std::int32_t>& ids) const;
  void encode_stretch(std::string_view text, std::vector<std::int32_t>& ids) const;

  std::string where_;
  std::string bytes_;
  SpmModel spm_;
  TokenizerConfig config_;
  std::vector<AddedToken> tokens_;                      // each with its id
  AddedTokenMatcher matcher_;                           // of encode_line, for these
  std::unordered_map<std::int32_t, AddedToken> added_;  // ids behind the model's own
  std::int64_t vocab_size_ = 0;
  std::int32_t bos_ = -1;
  std::int32_t eos_ = -1;
  bool add_bos_ = false;
  bool own_prefix_ = true;   // the model's dummy prefix is as its file says
  std::string none_;         // it has a piece for every byte, or unk
  std::string beyond_json_;  // why the model has no tokenizer.json; "": it has one, or needs none
  std::vector<std::string> notes_;
  // Four processors of one model. `hidden`: the template's markers and special user-defined pieces are no longer
  // matched. `bare`: no dummy prefix.
  Processor plain_;
  Processor plain_bare_;
  Processor hidden_;
  Processor hidden_bare_;
};

}  // namespace steerlm
