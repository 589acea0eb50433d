// What is done with a tokenizer that was read.
#pragma once

#include "fuzz/fuzz.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

// Where a target writes its input: a folder of its own with a file of that name.
inline Path tokenizer_place(const std::string& name) {
  static const TemporaryFolder folder;
  return folder.path() / name;
}

inline void use_tokenizer(const Path& file) {
  const Tokenizer tokenizer = Tokenizer::load(file);
  const auto check = [&](const std::vector<std::int32_t>& ids) {
    for (const std::int32_t id : ids) require(id >= 0 && id < tokenizer.vocab_size(), "an id outside the vocabulary");
    tokenizer.decode(ids);
    tokenizer.decode_continuation(ids);
  };
  using namespace std::string_view_literals;
  for (const std::string_view text :
       {""sv, " Two  words,\n12 <s> \xC3\xA9\xE2\x96\x81 it's"sv, "<|end|><extra_id_1>a\xFF"sv, "a\0b"sv}) {
    check(tokenizer.encode_line(text));
    std::vector<std::int32_t> ids;
    tokenizer.append_first(text, ids);
    tokenizer.append_continuation(text, ids);
    check(ids);
  }
  tokenizer.bytes_without_piece();
  for (std::int32_t id = 0; id < std::min<std::int64_t>(tokenizer.vocab_size(), 100); ++id) {
    const std::string piece = tokenizer.piece(id);
    if (!piece.empty()) tokenizer.piece_id(piece);
  }
}

}  // namespace steerlm
