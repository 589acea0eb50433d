// The pieces of a sentencepiece model, and the file tokenizer.model made of them.
#pragma once

#include <string>
#include <vector>

namespace steerlm {

// ModelProto.SentencePiece.Type
enum class PieceType { normal = 1, unknown = 2, control = 3, user_defined = 4, unused = 5, byte = 6 };

struct SpmPiece {
  std::string text;
  PieceType type = PieceType::normal;
  float score = 0;
};

struct SpmSettings {
  bool byte_fallback = false;  // all 256 byte pieces are there
  bool add_dummy_prefix = true;
  bool remove_extra_whitespaces = false;
  std::string unk, bos, eos;  // pieces of that role
};

// The bytes of a BPE model (sentencepiece_model.proto) whose id i is pieces[i]; a text is not normalised.
std::string format_spm_model(const std::vector<SpmPiece>& pieces, const SpmSettings& settings);

}  // namespace steerlm
