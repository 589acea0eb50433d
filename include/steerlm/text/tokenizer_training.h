// Training of a sentencepiece model.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "steerlm/core/fs.h"

namespace steerlm {

enum class TokenizerModel { unigram, bpe };

struct TokenizerTraining {
  std::function<std::optional<std::string>()> next_text;  // until it returns nothing; a text may have line ends
  std::int64_t vocab_size = 0;
  TokenizerModel model = TokenizerModel::unigram;
  std::uint64_t seed = 0;        // of the lines that are drawn where there are more than five million
  bool reserve_markers = false;  // <extra_id_0..2> as pieces of their own, for template.special_tokens: added
  std::string name;              // of what is trained, for messages
};

struct TrainedTokenizer {
  std::string bytes;  // the sentencepiece model
  std::int64_t vocab_size = 0;
};

// `vocab_size` is the vocabulary's real size: smaller than asked for where the text cannot fill it. Every text
// round-trips (but for U+2581, which sentencepiece reads as a space): identity normalisation, bytes where a character
// has no piece; a line end is the byte piece <0x0A>. Ids: 0 unk, 1 bos, 2 eos. Equal input gives equal bytes. Throws
// recipe: a vocabulary too small for the characters of the text; data: no text.
TrainedTokenizer train_tokenizer(const TokenizerTraining& training);

}  // namespace steerlm
