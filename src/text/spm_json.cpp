#include "text/spm_json.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <string_view>
#include <tuple>
#include <unordered_map>
#include <utility>
#include <vector>

namespace steerlm {
namespace {

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581
// sentencepiece never takes a byte piece for its spelling "<0x0A>", nor an unused piece; here its score must keep it
// from that.
constexpr double unreachable_score = -1e4;

bool has_pieces(const SpmModel& model, PieceType type) {
  return std::ranges::find(model.pieces, type, &SpmPiece::type) != model.pieces.end();
}

// The rules that sentencepiece brings. `tokenizers` applies a charsmap to one character, or to one grapheme of less
// than six bytes, at a time; rules of longer texts, which a model's maker may have added, need not be found there.
bool is_known_charsmap(const SpmModel& model) {
  constexpr std::array<std::string_view, 4> names{"nmt_nfkc", "nfkc", "nmt_nfkc_cf", "nfkc_cf"};
  return std::ranges::find(names, model.normalizer) != names.end();
}

std::string base64(std::string_view bytes) {
  constexpr std::string_view digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string text;
  for (size_t at = 0; at < bytes.size(); at += 3) {
    std::uint32_t group = 0;
    for (size_t i = 0; i < 3; ++i)
      group = group << 8 | (at + i < bytes.size() ? static_cast<unsigned char>(bytes[at + i]) : 0U);
    for (size_t i = 0; i < 4; ++i) text += at + i > bytes.size() ? '=' : digits[group >> (18 - 6 * i) & 63];
  }
  return text;
}

Json replace(const char* kind, std::string_view pattern, std::string_view content) {
  return {{"type", "Replace"}, {"pattern", {{kind, pattern}}}, {"content", content}};
}

// sentencepiece's normalizer.cc, Normalizer::Normalize. Its charsmap composes a character with the marks behind it, of
// which Precompiled may drop some: NFC composes before it, and behind it with marks that it has made (halfwidth kana).
// What NFC does more is to put marks into their canonical order.
Json normalizer(const SpmModel& model) {
  Json steps = Json::array();
  if (!model.charsmap.empty()) {
    steps.push_back({{"type", "NFC"}});
    steps.push_back({{"type", "Precompiled"}, {"precompiled_charsmap", base64(model.charsmap)}});
    steps.push_back({{"type", "NFC"}});
  }
  if (model.remove_extra_whitespaces) {
    steps.push_back(replace("Regex", "\\A +|[ \xE2\x96\x81]+\\z", ""));
    steps.push_back(replace("Regex", " {2,}", " "));
  }
  if (model.add_dummy_prefix) steps.push_back({{"type", "Prepend"}, {"prepend", space_symbol}});
  steps.push_back(replace("String", " ", space_symbol));
  return {{"type", "Sequence"}, {"normalizers", steps}};
}

Json decoder(const SpmModel& model) {
  Json steps =
      Json::array({replace("String", space_symbol, " "), Json{{"type", "ByteFallback"}}, Json{{"type", "Fuse"}}});
  if (model.add_dummy_prefix || model.remove_extra_whitespaces)
    steps.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{"type", "Sequence"}, {"decoders", steps}};
}

Json unigram(const SpmModel& model) {
  Json vocabulary = Json::array();
  Json unknown = nullptr;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    const bool unreachable = piece.type == PieceType::byte || piece.type == PieceType::unused;
    vocabulary.push_back({piece.text, unreachable ? unreachable_score : static_cast<double>(piece.score)});
    if (piece.type == PieceType::unknown) unknown = id;
  }
  return {{"type", "Unigram"},
          {"unk_id", unknown},
          {"vocab", vocabulary},
          {"byte_fallback", has_pieces(model, PieceType::byte)}};
}

// sentencepiece joins the pair whose piece has the best score: each way to cut a piece in two is a merge.
Json merges(const SpmModel& model, const std::unordered_map<std::string_view, size_t>& ids) {
  std::vector<std::tuple<float, size_t, size_t>> ranked;  // -score, left, right
  for (const SpmPiece& piece : model.pieces) {
    if (piece.type != PieceType::normal) continue;
    const std::string_view text = piece.text;
    for (size_t cut = 1; cut < text.size(); ++cut) {
      const auto left = ids.find(text.substr(0, cut)), right = ids.find(text.substr(cut));
      if (left != ids.end() && right != ids.end()) ranked.emplace_back(-piece.score, left->second, right->second);
    }
  }
  std::ranges::sort(ranked);
  Json list = Json::array();
  for (const auto& [score, left, right] : ranked)
    list.push_back(Json::array({model.pieces[left].text, model.pieces[right].text}));
  return list;
}

Json bpe(const SpmModel& model) {
  std::unordered_map<std::string_view, size_t> ids;  // of the pieces that are merged
  Json::object_t vocabulary;
  Json unknown = nullptr;
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    vocabulary.emplace_back(piece.text, id);  // emplace() would look for the key in all before it
    if (piece.type == PieceType::normal) ids.emplace(piece.text, id);
    if (piece.type == PieceType::unknown) unknown = piece.text;
  }
  Json json{{"type", "BPE"},
            {"dropout", nullptr},
            {"unk_token", unknown},
            {"continuing_subword_prefix", nullptr},
            {"end_of_word_suffix", nullptr},
            {"fuse_unk", true},
            {"byte_fallback", has_pieces(model, PieceType::byte)},
            {"ignore_merges", false}};
  json["vocab"] = Json(std::move(vocabulary));
  json["merges"] = merges(model, ids);
  return json;
}

}  // namespace

std::string beyond_tokenizer_json(const SpmModel& model) {
  if (model.suffix_spaces) return "puts spaces behind words ('treat_whitespace_as_suffix')";
  if (!model.escape_whitespaces) return "keeps spaces as they are ('escape_whitespaces: false')";
  if (model.denormalizer) return "changes texts that are decoded ('denormalizer_spec', which is not done here either)";
  if (model.kind == SpmKind::word) return "takes words whole ('model_type: word')";
  if (!model.charsmap.empty() && !is_known_charsmap(model))
    return "changes texts by rules of its own ('normalization_rule_name: " + model.normalizer + "')";
  if (model.kind == SpmKind::unigram) return "";
  if (has_pieces(model, PieceType::user_defined)) return "has user-defined pieces among those that BPE makes";
  if (has_pieces(model, PieceType::unused)) return "has unused pieces among those that BPE makes";
  return "";
}

std::string beyond_llama_tokenizer(const SpmModel& model) {
  if (model.kind != SpmKind::bpe) return "is no BPE";
  if (!model.charsmap.empty()) return "changes characters (" + model.normalizer + ")";
  if (model.remove_extra_whitespaces) return "drops extra spaces ('remove_extra_whitespaces')";
  if (model.suffix_spaces || !model.escape_whitespaces || model.denormalizer) return beyond_tokenizer_json(model);
  return "";
}

Json spm_tokenizer_json(const SpmModel& model) {
  Json added = Json::array();
  for (size_t id = 0; id < model.pieces.size(); ++id) {
    const SpmPiece& piece = model.pieces[id];
    if (piece.type != PieceType::unknown && piece.type != PieceType::control) continue;
    added.push_back({{"id", id},
                     {"content", piece.text},
                     {"single_word", false},
                     {"lstrip", false},
                     {"rstrip", false},
                     {"normalized", false},
                     {"special", true}});
  }
  return {{"version", "1.0"},
          {"truncation", nullptr},
          {"padding", nullptr},
          {"added_tokens", added},
          {"normalizer", normalizer(model)},
          {"pre_tokenizer", nullptr},
          {"post_processor", nullptr},
          {"decoder", decoder(model)},
          {"model", model.kind == SpmKind::unigram ? unigram(model) : bpe(model)}};
}

}  // namespace steerlm
