// The bytes of a sentencepiece model: sentencepiece_model.proto in protobuf's wire format, checked and edited without
// protobuf, of which libtorch carries another version.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/text/spm_pieces.h"

namespace steerlm {

struct SpmModel {
  std::vector<SpmPiece> pieces;
  bool unigram = true;    // TrainerSpec.model_type; false: another kind
  bool identity = false;  // NormalizerSpec: text is left as it is
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = true;
  std::string unk_surface = " \xE2\x81\x87 ";  // what unk decodes to, " ⁇ "
};

// Throws model, at `where`: cut off, damaged, something else.
SpmModel read_spm_model(std::string_view bytes, const std::string& where);

// The same model for another use: pieces that `hide` picks become control pieces, which are never matched in a text;
// with `dummy_prefix` sentencepiece puts a space before a text, else nothing. `bytes` must have passed read_spm_model.
std::string edit_spm_model(std::string_view bytes, const std::function<bool(const SpmPiece&)>& hide, bool dummy_prefix);

}  // namespace steerlm
