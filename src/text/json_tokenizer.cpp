#include "text/json_tokenizer.h"

#include <algorithm>

#include "steerlm/core/json.h"
#include "steerlm/core/utf8.h"
#include "steerlm/text/tokenizer.h"
#include "text/byte_level.h"
#include "text/tokenizer_class.h"
#include "text/unicode.h"

namespace steerlm {
namespace {

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581

std::string fallback_piece(unsigned byte) {
  constexpr std::string_view digits = "0123456789ABCDEF";
  return std::string("<0x") + digits[byte >> 4] + digits[byte & 15] + ">";
}

std::string utf8(char32_t character) {  // below U+0800
  if (character < 0x80) return std::string(1, static_cast<char>(character));
  return {static_cast<char>(0xC0 | character >> 6), static_cast<char>(0x80 | (character & 0x3F))};
}

bool occurs_in_utf8(unsigned byte) { return byte < 0xC0 || (byte > 0xC1 && byte < 0xF5); }

// The pieces of bytes, where the model needs them. A byte-level vocabulary may lack some (SmolLM2): `tokenizers` drops
// such a byte from the text, or makes it unk. bytes_without_piece() says which.
std::array<std::int32_t, 256> byte_pieces(const TokenizerJson& json, const StringIds& vocabulary, bool byte_level,
                                          const std::string& where) {
  std::array<std::int32_t, 256> ids;
  ids.fill(-1);
  if (!byte_level && !json.byte_fallback) {
    if (json.unknown) return ids;
    fail(ExitCode::model,
         {.what = "the tokenizer has neither byte_fallback nor an unk_token for a character without a piece",
          .where = where});
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    const std::string piece =
        byte_level ? utf8(byte_character(static_cast<unsigned char>(byte))) : fallback_piece(byte);
    const auto id = vocabulary.find(piece);
    if (id != vocabulary.end()) {
      ids[byte] = id->second;
    } else if (occurs_in_utf8(byte) && !byte_level) {
      fail(ExitCode::model, {.what = "the vocabulary has no piece '" + piece + "' for the byte " + std::to_string(byte),
                             .where = where});
    }
  }
  return ids;
}

Bpe make_bpe(const TokenizerJson& json, bool byte_level, const std::string& where) {
  StringIds vocabulary;
  for (const auto& [piece, id] : json.vocabulary) vocabulary.emplace(piece, id);
  Bpe::Options options{.byte_level = byte_level,
                       .byte_fallback = json.byte_fallback && !byte_level,
                       .fuse_unknown = json.fuse_unknown,
                       .ignore_merges = json.ignore_merges};
  if (json.unknown) options.unknown = vocabulary.at(*json.unknown);
  const auto bytes = byte_pieces(json, vocabulary, byte_level, where);
  std::vector<Bpe::Merge> merges;
  merges.reserve(json.merges.size());
  for (const auto& [left, right] : json.merges) {
    merges.push_back({vocabulary.at(left), vocabulary.at(right), vocabulary.at(left + right)});
  }
  if (!byte_level) return Bpe(std::move(vocabulary), bytes, merges, options);
  StringIds spelled;
  for (const auto& [piece, id] : json.vocabulary) {
    if (auto text = spelled_bytes(piece)) spelled.emplace(std::move(*text), id);
  }
  return Bpe(std::move(spelled), bytes, merges, options);
}

// Whether "▁" is a piece and no merge joins another character to a "▁" behind it. A run of "▁" then starts a word of
// its own, and a whole text can be taken word by word.
bool spaces_start_words(const TokenizerJson& json) {
  if (json.ignore_merges) return false;
  const auto only_spaces = [](std::string_view text) {
    while (text.starts_with(space_symbol)) text.remove_prefix(space_symbol.size());
    return text.empty();
  };
  for (const auto& [left, right] : json.merges) {
    if (right.find(space_symbol) != std::string::npos && !only_spaces(left)) return false;
  }
  return std::ranges::any_of(json.vocabulary, [](const auto& entry) { return entry.first == space_symbol; });
}

}  // namespace

JsonTokenizer::JsonTokenizer(std::string bytes, const Path& file, TokenizerConfig config)
    : bytes_(std::move(bytes)),
      json_(read_tokenizer_json(bytes_, file.string())),
      split_special_(config.split_special) {
  apply_tokenizer_class(json_, config, file.string(), notes_);
  if (config.add_eos || json_.last) {
    notes_.push_back(
        "Transformers puts EOS behind every text that this tokenizer encodes; here the template says where "
        "EOS is written");
  }
  const bool byte_level =
      !json_.pre_tokenizer.empty() && json_.pre_tokenizer.back().kind == PreTokenizerStep::Kind::byte_level;
  for (const PreTokenizerStep& step : json_.pre_tokenizer) {
    auto& pattern = patterns_.emplace_back();
    if (!step.pattern.empty() && !step.literal) pattern.emplace(step.pattern, file.string());
  }
  bpe_.emplace(make_bpe(json_, byte_level, file.string()));
  for (unsigned byte = 0; byte_level && byte < 256; ++byte) {
    if (occurs_in_utf8(byte) && bpe_->byte_piece(static_cast<unsigned char>(byte)) < 0)
      missing_bytes_ += static_cast<char>(byte);
  }
  cut_at_spaces_ = !byte_level && spaces_start_words(json_);
  std::int32_t largest = 0;
  for (const auto& [piece, id] : json_.vocabulary) largest = std::max(largest, id);
  for (const AddedToken& token : json_.added) largest = std::max(largest, *token.id);
  pieces_.resize(static_cast<size_t>(largest) + 1);
  for (auto& [piece, id] : json_.vocabulary) {
    ids_.emplace(piece, id);
    pieces_[static_cast<size_t>(id)] = std::move(piece);
  }
  json_.vocabulary.clear();
  json_.merges.clear();
  add_tokens(config, file.string());
  index_tokens(file.string());
  find_ends(config);
}

// The file's added tokens, and over them what the folder says, as Transformers adds it: a description in
// added_tokens_decoder replaces the file's, but a token that the file makes special stays so. Without a decoder a key
// like pad_token makes a token of the file special; a list, or a key beside a decoder that lacks the token, does not. A
// name that is in no vocabulary is left out.
void JsonTokenizer::add_tokens(const TokenizerConfig& config, const std::string& where) {
  for (const AddedToken& token : json_.added) {
    ids_.emplace(token.text, *token.id);
    pieces_[static_cast<size_t>(*token.id)] = token.text;
    added_.emplace(*token.id, token);
  }
  std::vector<std::string> left_out;
  for (AddedToken token : config.tokens) {
    auto known = ids_.find(token.text);
    if (known == ids_.end()) {
      if (!token.id) {
        left_out.push_back(token.text);
        continue;
      }
      if (*token.id != static_cast<std::int32_t>(pieces_.size())) {
        fail(ExitCode::model,
             {.what = "the token '" + token.text + "' of the folder's tokenizer files is not in the vocabulary",
              .where = where,
              .found = "the id " + std::to_string(*token.id),
              .expected = "the next free id, " + std::to_string(pieces_.size())});
      }
      pieces_.push_back(token.text);
      known = ids_.emplace(token.text, *token.id).first;
    } else if (token.id && *token.id != known->second) {
      fail(ExitCode::model, {.what = "the folder's tokenizer files disagree on the id of '" + token.text + "'",
                             .where = where,
                             .found = std::to_string(*token.id),
                             .expected = std::to_string(known->second)});
    }
    token.id = known->second;
    const auto before = added_.find(known->second);
    const bool replaces = config.decoder && std::ranges::find(*config.decoder, token.text) != config.decoder->end();
    if (before == added_.end()) {
      added_.emplace(known->second, token);
    } else if (replaces) {
      token.special = token.special || before->second.special;
      before->second = token;
    } else if (!config.decoder && is_named(token.text, config)) {
      before->second.special = true;
    }
  }
  note_left_out(left_out, notes_);
}

void JsonTokenizer::index_tokens(const std::string& where) {
  for (const auto& [id, token] : added_) {
    const bool hidden = token.special || is_template_marker(token.text);
    if (token.normalized) {
      std::string spelling = normalize(token.text, true);
      if (spelling.empty()) {
        fail(ExitCode::model,
             {.what = "the normalizer leaves nothing of the added token '" + token.text + "'", .where = where});
      }
      normalized_.add(std::move(spelling), token, hidden);
    } else {
      raw_.add(token.text, token, hidden);
    }
  }
}

void JsonTokenizer::find_ends(const TokenizerConfig& config) {
  bos_ = json_.first ? *json_.first : config.bos.empty() ? -1 : find(config.bos).value_or(-1);
  eos_ = config.eos.empty() ? json_.last.value_or(-1) : find(config.eos).value_or(-1);
  add_bos_ = json_.first.has_value();  // Transformers 5 leaves add_bos_token unread beside a tokenizer.json
}

std::string JsonTokenizer::piece(std::int32_t id) const {
  return id >= 0 && id < vocab_size() ? pieces_[static_cast<size_t>(id)] : "";
}

std::optional<std::int32_t> JsonTokenizer::find(std::string_view piece) const {
  const auto id = ids_.find(piece);
  return id == ids_.end() ? std::nullopt : std::optional(id->second);
}

std::vector<std::int32_t> JsonTokenizer::encode_line(std::string_view line) const {
  std::vector<std::int32_t> ids;
  encode(line, {.special = !split_special_, .prefix = true}, ids);
  return ids;
}

void JsonTokenizer::append_first(std::string_view text, std::vector<std::int32_t>& ids) const {
  encode(text, {.special = false, .prefix = true}, ids);
}

void JsonTokenizer::append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const {
  encode(text, {.special = false, .prefix = false}, ids);
}

std::string JsonTokenizer::normalize(std::string_view text, bool prefix) const {
  std::string result(text);
  for (const NormalizerStep& step : json_.normalizer) {
    if (step.kind == NormalizerStep::Kind::nfc) result = normalize_nfc(result);
    if (step.kind == NormalizerStep::Kind::prepend && prefix && !result.empty()) result.insert(0, step.content);
    if (step.kind == NormalizerStep::Kind::replace) result = replace_all(result, step.pattern, step.content);
  }
  return result;
}

void JsonTokenizer::encode(std::string_view text, Use use, std::vector<std::int32_t>& ids) const {
  std::string valid;
  if (find_invalid_utf8(text)) text = valid = replace_bad_bytes(text);
  for (const auto& part : raw_.split(text, use.special)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else {
      encode_stretch(part.text, part.text.data() == text.data(), use, ids);
    }
  }
}

// What lies between the tokens of the text as it comes.
void JsonTokenizer::encode_stretch(std::string_view stretch, bool at_start, Use use,
                                   std::vector<std::int32_t>& ids) const {
  std::string owner;
  std::string_view text = stretch;
  if (!json_.normalizer.empty()) text = owner = normalize(stretch, use.prefix);
  for (const auto& part : normalized_.split(text, use.special)) {
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else if (!part.text.empty()) {
      encode_step(part.text, 0, at_start && part.text.data() == text.data(), use, ids);
    }
  }
}

// One step of the pre-tokenizer and those behind it; `at_start`: the text is the front of the whole text.
void JsonTokenizer::encode_step(std::string_view text, size_t step, bool at_start, Use use,
                                std::vector<std::int32_t>& ids) const {
  if (step == json_.pre_tokenizer.size()) return encode_words(text, ids);
  const PreTokenizerStep& now = json_.pre_tokenizer[step];
  using Kind = PreTokenizerStep::Kind;
  using Prepend = PreTokenizerStep::Prepend;
  std::string owner;
  if (now.kind == Kind::metaspace) {
    owner = replace_all(text, " ", space_symbol);
    const bool prepend = now.prepend == Prepend::always || (now.prepend == Prepend::first && at_start);
    if (use.prefix && prepend && !owner.starts_with(space_symbol)) owner.insert(0, space_symbol);
    text = owner;
  } else if (now.kind == Kind::byte_level && use.prefix && now.add_prefix_space && !text.starts_with(' ')) {
    text = owner = " " + std::string(text);
  }
  const auto pass_on = [&](std::string_view part) {
    encode_step(part, step + 1, at_start && part.data() == text.data(), use, ids);
  };
  if (patterns_[step]) {
    for (const Regex::Part& part : patterns_[step]->split(text)) {
      if (!(part.match ? now.drop_matches : now.drop_rest)) pass_on(part.text);
    }
    return;
  }
  // At a literal: split cuts on both sides of it, metaspace before it.
  const std::string_view literal =
      now.kind == Kind::metaspace && now.split_words ? space_symbol : std::string_view(now.pattern);
  size_t begin = 0;
  for (size_t at = literal.empty() ? text.npos : text.find(literal); at != text.npos;
       at = text.find(literal, at + literal.size())) {
    if (at > begin && !now.drop_rest) pass_on(text.substr(begin, at - begin));
    begin = at;
    if (now.kind == Kind::metaspace) continue;
    if (!now.drop_matches) pass_on(text.substr(at, literal.size()));
    begin = at + literal.size();
  }
  if (begin < text.size() && !now.drop_rest) pass_on(text.substr(begin));
}

void JsonTokenizer::encode_words(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (!cut_at_spaces_) return bpe_->encode(text, ids);
  size_t begin = 0;
  for (size_t at = text.find(space_symbol); at != std::string_view::npos; at = text.find(space_symbol, at)) {
    if (at > begin) {
      bpe_->encode(text.substr(begin, at - begin), ids);
      begin = at;
    }
    while (text.substr(at).starts_with(space_symbol)) at += space_symbol.size();
  }
  if (begin < text.size()) bpe_->encode(text.substr(begin), ids);
}

std::string JsonTokenizer::decode(std::span<const std::int32_t> ids, bool at_start) const {
  std::vector<std::string> tokens;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocab_size()) {
      fail(ExitCode::data, {.what = "an id that is not in the vocabulary",
                            .found = std::to_string(id),
                            .expected = "0 to " + std::to_string(vocab_size() - 1)});
    }
    const auto token = added_.find(id);
    if (token == added_.end()) {
      if (!pieces_[static_cast<size_t>(id)].empty()) tokens.push_back(pieces_[static_cast<size_t>(id)]);
    } else if (!token->second.special || is_template_marker(token->second.text)) {
      tokens.push_back(token->second.normalized ? normalize(token->second.text, true) : token->second.text);
    }
  }
  return decode_tokens(json_.decoder, std::move(tokens), at_start);
}

std::string JsonTokenizer::default_config() const {
  Json json{{"tokenizer_class", "PreTrainedTokenizerFast"}, {"clean_up_tokenization_spaces", false}};
  if (bos_ >= 0) json["bos_token"] = piece(bos_);
  if (eos_ >= 0) json["eos_token"] = piece(eos_);
  return dump_json(json) + "\n";
}

}  // namespace steerlm
