#include "hf/gguf_tokenizer.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <unordered_set>

#include "steerlm/core/error.h"
#include "steerlm/core/json.h"
#include "steerlm/core/suggest.h"
#include "steerlm/text/spm_pieces.h"

namespace steerlm {
namespace {

const std::string ggml = "tokenizer.ggml.";

// How a text is cut into words before the merges, and what comes with it in the tokenizer.json of the models that the
// kind is named after. The kinds of llama.cpp (src/llama-vocab.cpp) that are not here are those whose expression there
// only approximates the model's own, or of which no model of these architectures is known.
struct PreTokenizer {
  std::string_view name;     // tokenizer.ggml.pre
  std::string_view pattern;  // "": GPT-2's, which ByteLevel has in it
  bool single_digits = false;
  bool nfc = false;
  bool ignore_merges = false;
  bool add_bos = false;  // where add_bos_token is missing
};
constexpr std::string_view llama3_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view qwen2_pattern =
    R"((?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::string_view tekken_pattern =
    R"([^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+)";
constexpr std::array<PreTokenizer, 14> pre_tokenizers{{
    {.name = "gpt-2", .pattern = ""},
    {.name = "phi-2", .pattern = ""},
    {.name = "smollm", .pattern = "", .single_digits = true},
    {.name = "starcoder", .pattern = "", .single_digits = true},
    {.name = "refact", .pattern = "", .single_digits = true},
    {.name = "codeshell", .pattern = "", .single_digits = true},
    {.name = "llama-bpe", .pattern = llama3_pattern, .ignore_merges = true, .add_bos = true},
    {.name = "llama3", .pattern = llama3_pattern, .ignore_merges = true, .add_bos = true},
    {.name = "llama-v3", .pattern = llama3_pattern, .ignore_merges = true, .add_bos = true},
    {.name = "tekken", .pattern = tekken_pattern, .ignore_merges = true, .add_bos = true},
    {.name = "qwen2", .pattern = qwen2_pattern, .nfc = true},
    {.name = "deepseek-r1-qwen", .pattern = qwen2_pattern, .nfc = true},
    {.name = "megrez", .pattern = qwen2_pattern, .nfc = true},
    {.name = "kormo", .pattern = qwen2_pattern, .nfc = true},
}};

const PreTokenizer& find_pre_tokenizer(GgufKeys& keys) {
  std::vector<std::string> names;
  for (const PreTokenizer& known : pre_tokenizers) names.emplace_back(known.name);
  const auto name = keys.optional_text(ggml + "pre");
  if (!name) {
    keys.refuse(ggml + "pre", "is missing: how the tokenizer cuts a text into words is not known", "",
                join(names, " or "), "convert the model again with a newer llama.cpp, which writes the key");
  }
  const auto found = std::ranges::find(pre_tokenizers, *name, &PreTokenizer::name);
  if (found == pre_tokenizers.end())
    keys.refuse(ggml + "pre", "names a pre-tokenizer that is not known", "'" + *name + "'", join(names, ", "),
                suggest(*name, names));
  return *found;
}

std::vector<SpmPiece> read_pieces(GgufKeys& keys, std::int64_t rows) {
  const std::vector<std::string>& texts = keys.texts(ggml + "tokens");
  const std::vector<std::int32_t>& types = keys.integers(ggml + "token_type");
  if (texts.empty() || static_cast<std::int64_t>(texts.size()) > rows) {
    keys.refuse(ggml + "tokens", "and the rows of the embedding do not agree", std::to_string(texts.size()) + " tokens",
                "1 to " + std::to_string(rows));
  }
  if (types.size() != texts.size()) {
    keys.refuse(ggml + "token_type", "and " + ggml + "tokens do not agree", std::to_string(types.size()) + " types",
                std::to_string(texts.size()));
  }
  std::unordered_set<std::string_view> seen;
  std::vector<SpmPiece> pieces;
  for (size_t i = 0; i < texts.size(); ++i) {
    if (texts[i].empty() || texts[i].find('\0') != std::string::npos)
      keys.refuse(ggml + "tokens", "has a token that is empty or holds a NUL", "token " + std::to_string(i));
    if (!seen.insert(texts[i]).second)
      keys.refuse(ggml + "tokens", "has a token twice", "'" + texts[i] + "', token " + std::to_string(i));
    if (types[i] < 1 || types[i] > 6) {
      keys.refuse(ggml + "token_type", "has a type that is none",
                  std::to_string(types[i]) + " of token " + std::to_string(i), "1 to 6");
    }
    pieces.push_back({.text = texts[i], .type = static_cast<PieceType>(types[i])});
  }
  return pieces;
}

std::optional<std::int64_t> token_id(GgufKeys& keys, const char* role, const std::vector<SpmPiece>& pieces) {
  const std::string key = ggml + role + "_token_id";
  const auto id = keys.optional_integer(key, 0, static_cast<std::int64_t>(pieces.size()) - 1);
  if (id && pieces[static_cast<size_t>(*id)].type == PieceType::unused)
    keys.refuse(key, "is the id of an unused token", std::to_string(*id));
  return id;
}

// Control tokens that end a generation by their text, as in llama.cpp, which takes tokens of other types too
// (special_eog_ids in src/llama-vocab.cpp): the keys of a file name one or two ends, and the other (the end of a text
// beside that of a turn) is known by its text alone.
bool ends_generation(const SpmPiece& piece) {
  constexpr std::string_view texts[] = {"<|endoftext|>", "<|end_of_text|>",   "<|im_end|>",    "<|eot_id|>",
                                        "<|eom_id|>",    "<|end|>",           "<end_of_turn>", "<EOT>",
                                        "_<EOT>",        "<end_of_utterance>"};
  return piece.type == PieceType::control && std::ranges::find(texts, piece.text) != std::end(texts);
}

// A token that is matched in a text as a whole.
Json added_token(const SpmPiece& piece) {
  return {{"content", piece.text}, {"single_word", false}, {"lstrip", false},
          {"rstrip", false},       {"normalized", false},  {"special", piece.type != PieceType::user_defined}};
}
bool is_added(const SpmPiece& piece) {
  return piece.type == PieceType::control || piece.type == PieceType::user_defined || piece.type == PieceType::unknown;
}

std::vector<std::pair<std::string, std::string>> read_merges(GgufKeys& keys, const std::vector<SpmPiece>& pieces) {
  std::unordered_set<std::string_view> known;
  for (const SpmPiece& piece : pieces) known.insert(piece.text);
  std::vector<std::pair<std::string, std::string>> merges;
  for (const std::string& text : keys.texts(ggml + "merges")) {
    const size_t space = text.find(' ');
    if (space == std::string::npos || text.find(' ', space + 1) != std::string::npos)
      keys.refuse(ggml + "merges", "has a merge that is no pair", "'" + text + "'",
                  "two pieces with a space between them");
    auto merge = std::pair(text.substr(0, space), text.substr(space + 1));
    for (const std::string& piece : {merge.first, merge.second, merge.first + merge.second}) {
      if (!known.contains(piece))
        keys.refuse(ggml + "merges", "needs a piece that is no token", "'" + piece + "' of the merge '" + text + "'");
    }
    merges.push_back(std::move(merge));
  }
  return merges;
}

Json pre_tokenizer_json(const PreTokenizer& kind) {
  Json steps = Json::array();
  if (kind.single_digits) steps.push_back({{"type", "Digits"}, {"individual_digits", true}});
  if (!kind.pattern.empty()) {
    steps.push_back(
        {{"type", "Split"}, {"pattern", {{"Regex", kind.pattern}}}, {"behavior", "Isolated"}, {"invert", false}});
  }
  steps.push_back({{"type", "ByteLevel"},
                   {"add_prefix_space", false},
                   {"trim_offsets", true},
                   {"use_regex", kind.pattern.empty()}});
  return {{"type", "Sequence"}, {"pretokenizers", steps}};
}

// BOS before a text, or before each of a pair.
Json bos_processor(const std::string& bos, std::int64_t id) {
  const auto token = [&](int type) { return Json{{"SpecialToken", {{"id", bos}, {"type_id", type}}}}; };
  const auto text = [](const char* name, int type) { return Json{{"Sequence", {{"id", name}, {"type_id", type}}}}; };
  Json special = Json::object();
  special[bos] = {{"id", bos}, {"ids", Json::array({id})}, {"tokens", Json::array({bos})}};
  return {{"type", "TemplateProcessing"},
          {"single", Json::array({token(0), text("A", 0)})},
          {"pair", Json::array({token(0), text("A", 0), token(1), text("B", 1)})},
          {"special_tokens", special}};
}

// tokenizer.json of the library `tokenizers`. Unused pieces, which only make the embedding's rows a round number, are
// left out, as in the files of the models themselves.
Json byte_level_json(GgufKeys& keys, const std::vector<SpmPiece>& pieces, const PreTokenizer& kind,
                     std::optional<std::int64_t> first) {
  Json added = Json::array();
  Json::object_t vocabulary;
  for (size_t id = 0; id < pieces.size(); ++id) {
    const SpmPiece& piece = pieces[id];
    if (piece.type == PieceType::byte)
      keys.refuse(ggml + "token_type", "has a byte token in a byte-level vocabulary", "'" + piece.text + "'");
    if (piece.type == PieceType::unused) continue;
    vocabulary.emplace_back(piece.text, id);  // emplace() would look for the key in all before it
    if (!is_added(piece)) continue;
    Json token = {{"id", id}};
    token.update(added_token(piece));
    added.push_back(std::move(token));
  }
  Json merges = Json::array();
  for (const auto& [left, right] : read_merges(keys, pieces)) merges.push_back(Json::array({left, right}));
  Json json;
  json["version"] = "1.0";
  json["truncation"] = nullptr;
  json["padding"] = nullptr;
  json["added_tokens"] = std::move(added);
  json["normalizer"] = kind.nfc ? Json{{"type", "NFC"}} : Json(nullptr);
  json["pre_tokenizer"] = pre_tokenizer_json(kind);
  json["post_processor"] =
      first ? bos_processor(pieces[static_cast<size_t>(*first)].text, *first)
            : Json{{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", false}, {"use_regex", true}};
  json["decoder"] = {{"type", "ByteLevel"}, {"add_prefix_space", true}, {"trim_offsets", true}, {"use_regex", true}};
  json["model"] = {{"type", "BPE"},
                   {"dropout", nullptr},
                   {"unk_token", nullptr},
                   {"continuing_subword_prefix", nullptr},
                   {"end_of_word_suffix", nullptr},
                   {"fuse_unk", false},
                   {"byte_fallback", false},
                   {"ignore_merges", kind.ignore_merges},
                   {"vocab", Json(std::move(vocabulary))},
                   {"merges", std::move(merges)}};
  return json;
}

// sentencepiece's BPE joins the pair whose piece has the best score, which is what llama.cpp does.
std::string spm_bytes(GgufKeys& keys, std::vector<SpmPiece> pieces, SpmSettings settings) {
  const std::vector<float>& scores = keys.numbers(ggml + "scores");
  if (scores.size() != pieces.size()) {
    keys.refuse(ggml + "scores", "and " + ggml + "tokens do not agree", std::to_string(scores.size()) + " scores",
                std::to_string(pieces.size()));
  }
  if (keys.has(ggml + "precompiled_charsmap"))
    keys.refuse(ggml + "precompiled_charsmap", "asks for a normalisation of texts that is not implemented");
  for (size_t i = 0; i < pieces.size(); ++i) {
    if (!(std::abs(scores[i]) <= 1e30F))
      keys.refuse(ggml + "scores", "has a score that is no number", std::to_string(scores[i]));
    pieces[i].score = scores[i];
  }
  const auto count = [&](PieceType type) { return std::ranges::count(pieces, type, &SpmPiece::type); };
  if (count(PieceType::unknown) != 1)
    keys.refuse(ggml + "token_type", "has no single unknown token", std::to_string(count(PieceType::unknown)),
                "one of type 2");
  const auto bytes = count(PieceType::byte);
  if (bytes != 0 && bytes != 256)
    keys.refuse(ggml + "token_type", "has byte tokens for some bytes alone", std::to_string(bytes),
                "0 or 256 of type 6");
  settings.byte_fallback = bytes == 256;
  settings.add_dummy_prefix = keys.flag(ggml + "add_space_prefix").value_or(true);
  settings.remove_extra_whitespaces = keys.flag(ggml + "remove_extra_whitespaces").value_or(false);
  return format_spm_model(pieces, settings);
}

std::string pretty(const Json& json) { return json.dump(2) + "\n"; }

}  // namespace

GgufTokenizer read_gguf_tokenizer(GgufKeys& keys, const ModelConfig& config) {
  const std::string model = keys.text(ggml + "model");
  if (model != "gpt2" && model != "llama")
    keys.refuse(ggml + "model", "names a tokenizer that is not implemented", "'" + model + "'", "gpt2 or llama");
  const bool byte_level = model == "gpt2";
  const std::vector<SpmPiece> pieces = read_pieces(keys, config.vocab_size);
  const auto piece = [&](std::int64_t id) { return pieces[static_cast<size_t>(id)].text; };

  GgufTokenizer tokenizer;
  tokenizer.bos_id = token_id(keys, "bos", pieces);
  const auto add_end = [&ends = tokenizer.eos_ids](std::int64_t id) {
    if (std::ranges::find(ends, id) == ends.end()) ends.push_back(id);
  };
  for (const char* role : {"eos", "eot", "eom"}) {
    if (const auto id = token_id(keys, role, pieces)) add_end(*id);
  }
  for (size_t id = 0; id < pieces.size(); ++id) {
    if (ends_generation(pieces[id])) add_end(static_cast<std::int64_t>(id));
  }
  const auto eos = token_id(keys, "eos", pieces);
  if (!eos) keys.refuse(ggml + "eos_token_id", "is missing: nothing would end a text", "", "the id of a token");
  const auto unk = token_id(keys, "unknown", pieces);
  const auto pad = token_id(keys, "padding", pieces);
  keys.only(ggml + "add_sep_token", 0);

  const PreTokenizer* kind = byte_level ? &find_pre_tokenizer(keys) : nullptr;
  const bool qwen = config.family == ModelFamily::qwen2 || config.family == ModelFamily::qwen3;
  if (kind && config.family == ModelFamily::qwen2 && kind->pattern != qwen2_pattern) {
    keys.refuse(ggml + "pre", "is not that of Qwen 2, which Transformers would use all the same",
                "'" + std::string(kind->name) + "'", "qwen2");
  }
  const bool add_bos = keys.flag(ggml + "add_bos_token").value_or(kind ? kind->add_bos : true);
  if (add_bos && !tokenizer.bos_id)
    keys.refuse(ggml + "bos_token_id", "is missing, but texts are to begin with that token", "", "the id of a token");

  Json settings;
  settings["tokenizer_class"] = !byte_level                              ? "LlamaTokenizer"
                                : qwen && kind->pattern == qwen2_pattern ? "Qwen2Tokenizer"
                                                                         : "PreTrainedTokenizerFast";
  settings["add_bos_token"] = add_bos;
  settings["add_eos_token"] = keys.flag(ggml + "add_eos_token").value_or(false);
  settings["bos_token"] = tokenizer.bos_id ? Json(piece(*tokenizer.bos_id)) : Json(nullptr);
  settings["eos_token"] = piece(*eos);
  settings["unk_token"] = unk ? Json(piece(*unk)) : Json(nullptr);
  settings["pad_token"] = pad ? Json(piece(*pad)) : Json(nullptr);
  settings["clean_up_tokenization_spaces"] = false;
  settings["model_max_length"] = config.context_length();
  if (byte_level) {
    if (keys.flag(ggml + "add_space_prefix").value_or(false))
      keys.refuse(ggml + "add_space_prefix", "is not implemented for a byte-level tokenizer", "true", "false");
    tokenizer.files.emplace_back(
        "tokenizer.json", pretty(byte_level_json(keys, pieces, *kind, add_bos ? tokenizer.bos_id : std::nullopt)));
  } else {
    if (!tokenizer.bos_id) keys.refuse(ggml + "bos_token_id", "is missing", "", "the id of a token");
    if (!unk || pieces[static_cast<size_t>(*unk)].type != PieceType::unknown)
      keys.refuse(ggml + "unknown_token_id", "is not the id of a token of type unknown",
                  unk ? std::to_string(*unk) : "");
    tokenizer.files.emplace_back(
        "tokenizer.model",
        spm_bytes(keys, pieces, {.unk = piece(*unk), .bos = piece(*tokenizer.bos_id), .eos = piece(*eos)}));
    settings["legacy"] = false;
    settings["add_prefix_space"] = keys.flag(ggml + "add_space_prefix").value_or(true);
    Json::object_t added;
    for (size_t id = 0; id < pieces.size(); ++id) {
      if (is_added(pieces[id])) added.emplace_back(std::to_string(id), added_token(pieces[id]));
    }
    settings["added_tokens_decoder"] = std::move(added);
    keys.optional_text(ggml + "pre");  // llama.cpp writes "default", and reads it for byte-level BPE alone
  }
  tokenizer.files.emplace_back("tokenizer_config.json", pretty(settings));
  if (auto chat = keys.optional_text("tokenizer.chat_template"))
    tokenizer.files.emplace_back("chat_template.jinja", std::move(*chat));
  return tokenizer;
}

}  // namespace steerlm
