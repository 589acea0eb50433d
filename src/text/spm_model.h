// The bytes of a sentencepiece model: sentencepiece_model.proto in protobuf's wire format, checked and edited without
// protobuf, of which libtorch carries another version.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/text/spm_pieces.h"

namespace steerlm {

enum class SpmKind { unigram = 1, bpe = 2, word = 3, character = 4 };  // TrainerSpec.model_type

struct SpmModel {
  std::vector<SpmPiece> pieces;
  SpmKind kind = SpmKind::unigram;
  bool suffix_spaces = false;  // treat_whitespace_as_suffix
  std::string normalizer;      // NormalizerSpec: name, and its rules, precompiled_charsmap; "": text is left as it is
  std::string charsmap;
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  bool escape_whitespaces = true;
  bool denormalizer = false;                   // denormalizer_spec has rules
  std::string unk_surface = " \xE2\x81\x87 ";  // what unk decodes to, " ⁇ "
};

// Throws model, at `where`: cut off, damaged, something else.
SpmModel read_spm_model(std::string_view bytes, const std::string& where);

// The same model for another use: pieces that `hide` picks become control pieces, which are never matched in a text;
// with `dummy_prefix` sentencepiece puts a space before a text, else nothing. `bytes` must have passed read_spm_model.
std::string edit_spm_model(std::string_view bytes, const std::function<bool(const SpmPiece&)>& hide, bool dummy_prefix);

}  // namespace steerlm
