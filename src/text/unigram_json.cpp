#include "text/unigram_json.h"

#include <optional>

namespace steerlm {
namespace {

constexpr const char* space_symbol = "\xE2\x96\x81";  // U+2581
// sentencepiece never takes a byte piece for its spelling "<0x0A>"; here its score must keep it from that.
constexpr double byte_score = -1e4;

Json special_token(size_t id, const std::string& text) {
  return {{"id", id},        {"content", text},     {"single_word", false}, {"lstrip", false},
          {"rstrip", false}, {"normalized", false}, {"special", true}};
}

}  // namespace

Json unigram_tokenizer_json(const SpmModel& model) {
  Json vocab = Json::array(), specials = Json::array();
  std::optional<size_t> unknown;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    vocab.push_back({piece.text, piece.type == PieceType::byte ? byte_score : static_cast<double>(piece.score)});
    if (piece.type == PieceType::unknown) unknown = id;
    if (piece.type == PieceType::unknown || piece.type == PieceType::control)
      specials.push_back(special_token(id, piece.text));
  }
  Json steps = Json::array();
  if (model.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", space_symbol}});
  steps.push_back({{"type", "Replace"}, {"pattern", {{"String", " "}}}, {"content", space_symbol}});
  Json decoders = Json::array({{{"type", "Replace"}, {"pattern", {{"String", space_symbol}}}, {"content", " "}},
                               {{"type", "ByteFallback"}},
                               {{"type", "Fuse"}}});
  if (model.add_dummy_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", specials},
          {"normalizer", {{"type", "Sequence"}, {"normalizers", steps}}},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", {{"type", "Sequence"}, {"decoders", decoders}}},
          {"model",
           {{"type", "Unigram"},
            {"unk_id", unknown ? Json(*unknown) : Json(nullptr)},
            {"vocab", vocab},
            {"byte_fallback", true}}}};
}

}  // namespace steerlm
