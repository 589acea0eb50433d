#include "text/spm_tokenizer.h"

#include <algorithm>
#include <exception>
#include <new>

#include "steerlm/core/json.h"
#include "steerlm/core/utf8.h"
#include "steerlm/text/tokenizer.h"
#include "text/spm_json.h"
#include "text/spm_log.h"
#include "text/tokenizer_class.h"
#include "text/unicode.h"

namespace steerlm {
namespace {

using Processor = std::shared_ptr<const sentencepiece::SentencePieceProcessor>;

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581, sentencepiece's space

Processor make_processor(const std::string& bytes, const Path& file) {
  silence_sentencepiece();
  auto processor = std::make_shared<sentencepiece::SentencePieceProcessor>();
  bool accepted = false;
  try {
    accepted = processor->LoadFromSerializedProto(bytes).ok();
  } catch (const std::bad_alloc&) {
    throw;
  } catch (const std::exception&) {  // of its trie, for a piece that begins with a NUL
  }
  if (!accepted) {
    fail(ExitCode::model, {.what = "sentencepiece does not accept the model",
                           .where = file.string(),
                           .advice = "the file may be damaged; copy or download it again"});
  }
  return processor;
}

void append_spaced(std::string_view piece, std::string& text) {
  for (size_t at = 0; at < piece.size();) {
    const bool space = piece.substr(at).starts_with(space_symbol);
    text += space ? ' ' : piece[at];
    at += space ? space_symbol.size() : 1;
  }
}

}  // namespace

SpmTokenizer::SpmTokenizer(std::string bytes, const Path& file, TokenizerConfig config)
    : where_(file.string()),
      bytes_(std::move(bytes)),
      spm_(read_spm_model(bytes_, where_)),
      config_(std::move(config)) {
  check_spm_class(config_, where_);
  settle_prefix();
  const auto hide_nothing = [](const SpmPiece&) { return false; };
  plain_ = make_processor(own_prefix_ ? bytes_ : edit_spm_model(bytes_, hide_nothing, spm_.add_dummy_prefix), file);
  add_tokens();
  make_processors(file);
  settle_json(file);
  if (config_.add_eos) {
    notes_.push_back(
        "Transformers puts EOS behind every text that this tokenizer encodes; here the template says where "
        "EOS is written");
  }
  bos_ = config_.bos.empty() ? plain_->bos_id() : find(config_.bos).value_or(-1);
  eos_ = config_.eos.empty() ? plain_->eos_id() : find(config_.eos).value_or(-1);
  add_bos_ = config_.add_bos.value_or(config_.class_adds_bos);
  if (!config_.add_bos && !add_bos_ && config_.class_name == "LlamaTokenizer" && bos_ >= 0) {
    notes_.push_back(
        "tokenizer_config.json has no add_bos_token, and no BOS is put before a text, as in Transformers 5; "
        "Transformers 4 puts one there: for a model that was trained with BOS write \"add_bos_token\": true into it");
  }
}

// add_prefix_space over the model's own add_dummy_prefix, as LlamaTokenizer has it. Transformers 5 opens a folder of
// the Mistral family with another class, which reads the model's alone.
void SpmTokenizer::settle_prefix() {
  if (!config_.add_prefix_space || *config_.add_prefix_space == spm_.add_dummy_prefix) return;
  if (config_.model_type == "mistral") {
    notes_.push_back(std::string("tokenizer_config.json has add_prefix_space: ") +
                     (spm_.add_dummy_prefix ? "false" : "true") + ", but the sentencepiece model puts " +
                     (spm_.add_dummy_prefix ? "a" : "no") +
                     " space before a text, which is what Transformers 5 does for this family and what is done here");
    return;
  }
  spm_.add_dummy_prefix = *config_.add_prefix_space;
  own_prefix_ = false;
}

std::optional<std::int32_t> SpmTokenizer::find(std::string_view piece) const {
  for (const auto& [id, token] : added_) {
    if (token.text == piece) return id;
  }
  const int id = plain_->PieceToId(piece);
  if (id < 0 || id >= spm_size() || spm_.pieces[static_cast<size_t>(id)].text != piece) return std::nullopt;
  return id;
}

// Gives every token of the config its id: the file's, else the model's; one without either is in no vocabulary and is
// left out. Of the model's control and user-defined pieces only added_tokens_decoder changes what is matched:
// Transformers enters them as plain tokens behind all others.
void SpmTokenizer::add_tokens() {
  for (const int id : {plain_->unk_id(), plain_->bos_id(), plain_->eos_id()}) {
    if (id < 0) continue;
    const std::string& text = spm_.pieces[static_cast<size_t>(id)].text;
    if (std::ranges::find(config_.tokens, text, &AddedToken::text) == config_.tokens.end()) {
      config_.tokens.push_back({.text = text, .id = id, .special = true});
    }
  }
  vocab_size_ = spm_size();
  for (const AddedToken& token : config_.tokens) {
    if (token.id && *token.id >= spm_size()) {
      added_.emplace(*token.id, token);
      vocab_size_ = std::max<std::int64_t>(vocab_size_, *token.id + 1);
    }
  }
  const auto is_plain = [&](const AddedToken& token, std::int32_t id) {
    if (id >= spm_size() ||
        (config_.decoder && std::ranges::find(*config_.decoder, token.text) != config_.decoder->end()))
      return false;
    const PieceType type = spm_.pieces[static_cast<size_t>(id)].type;
    return type == PieceType::control || type == PieceType::user_defined;
  };
  std::vector<std::string> left_out;
  for (const AddedToken& token : config_.tokens) {
    const auto id = token.id ? token.id : find(token.text);
    if (!id) left_out.push_back(token.text);
    if (!id || (config_.split_special && token.special)) continue;
    tokens_.push_back(is_plain(token, *id) ? AddedToken{.text = token.text, .special = token.special} : token);
    tokens_.back().id = id;
    matcher_.add(token.text, tokens_.back(), false);
  }
  note_left_out(left_out, notes_);
}

void SpmTokenizer::make_processors(const Path& file) {
  const auto hide = [&](const SpmPiece& piece) {
    if (piece.type != PieceType::user_defined) return false;
    return is_template_marker(piece.text) ||
           std::ranges::find(chat_markers, piece.text) != std::ranges::end(chat_markers) ||
           std::ranges::any_of(tokens_,
                               [&](const AddedToken& token) { return token.special && token.text == piece.text; });
  };
  const auto hide_nothing = [](const SpmPiece&) { return false; };
  plain_bare_ = make_processor(edit_spm_model(bytes_, hide_nothing, false), file);
  hidden_ = plain_;
  hidden_bare_ = plain_bare_;
  if (std::ranges::any_of(spm_.pieces, hide)) {
    hidden_ = make_processor(edit_spm_model(bytes_, hide, spm_.add_dummy_prefix), file);
    hidden_bare_ = make_processor(edit_spm_model(bytes_, hide, false), file);
  }
}

void SpmTokenizer::encode(const Processor& processor, std::string_view text, std::vector<std::int32_t>& ids) const {
  std::vector<int> piece_ids;
  if (!processor->Encode(text, &piece_ids).ok()) {
    fail(ExitCode::model,
         {.what = "the tokenizer cannot encode a text of " + std::to_string(text.size()) + " bytes", .where = where_});
  }
  ids.insert(ids.end(), piece_ids.begin(), piece_ids.end());
}

// One stretch between special tokens, transformers 4.57 LlamaTokenizer._tokenize. Without `legacy` a leading space is
// kept from sentencepiece, which may drop it, by encoding unk's text before it.
void SpmTokenizer::encode_stretch(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (config_.legacy) return encode(plain_, text, ids);
  if (!text.starts_with(space_symbol) && !text.starts_with(' ')) return encode(plain_bare_, text, ids);
  const std::string unk = plain_->unk_id() < 0 ? "" : spm_.pieces[static_cast<size_t>(plain_->unk_id())].text;
  std::vector<std::int32_t> unk_ids;
  std::vector<std::int32_t> all_ids;
  encode(plain_bare_, unk, unk_ids);
  encode(plain_bare_, unk + std::string(text), all_ids);
  const size_t skip = all_ids.size() >= unk_ids.size() ? unk_ids.size() : 0;
  ids.insert(ids.end(), all_ids.begin() + static_cast<std::ptrdiff_t>(skip), all_ids.end());
}

// sentencepiece_processor.cc, SentencePieceProcessor::Decode: at the start of a text the dummy prefix is taken off
// again.
std::string SpmTokenizer::decode(std::span<const std::int32_t> ids, bool at_start) const {
  std::string text;
  std::string run;  // of byte pieces
  bool strip = at_start && (spm_.add_dummy_prefix || spm_.remove_extra_whitespaces);
  bool stripped = false;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocab_size_) {
      fail(ExitCode::data, {.what = "an id that is not in the vocabulary",
                            .found = std::to_string(id),
                            .expected = "0 to " + std::to_string(vocab_size_ - 1)});
    }
    if (id < spm_size() && plain_->IsByte(id)) {
      run += static_cast<char>(
          std::stoi(spm_.pieces[static_cast<size_t>(id)].text.substr(3, 2), nullptr, 16));  // "<0x0A>"
      continue;
    }
    text += replace_bad_bytes(run);
    run.clear();
    if (stripped || !text.empty()) strip = false;
    if (id >= spm_size()) {
      const auto token = added_.find(id);
      if (token != added_.end() && (!token->second.special || is_template_marker(token->second.text)))
        text += token->second.text;
      continue;
    }
    std::string_view piece = spm_.pieces[static_cast<size_t>(id)].text;
    if (plain_->IsControl(id) && !is_template_marker(piece)) continue;
    if (plain_->IsUnknown(id)) {
      text += spm_.unk_surface;
      continue;
    }
    stripped = strip && piece.starts_with(space_symbol);
    if (stripped) piece.remove_prefix(space_symbol.size());
    if (spm_.remove_extra_whitespaces) stripped = false;  // all leading spaces go
    append_spaced(piece, text);
  }
  text += replace_bad_bytes(run);
  return text;
}

std::string SpmTokenizer::piece(std::int32_t id) const {
  if (id >= 0 && id < spm_size()) return spm_.pieces[static_cast<size_t>(id)].text;
  const auto token = added_.find(id);
  return token == added_.end() ? "" : token->second.text;
}

std::vector<std::int32_t> SpmTokenizer::encode_line(std::string_view line) const {
  std::vector<std::int32_t> ids;
  if (line.empty()) return ids;
  std::string text = find_invalid_utf8(line) ? replace_bad_bytes(line) : std::string(line);
  if (!config_.legacy && spm_.add_dummy_prefix) text.insert(0, space_symbol);
  for (const auto& part : matcher_.split(text, true)) {
    // The dummy prefix alone, before a token: LlamaTokenizer.tokenize takes it away.
    const bool prefix_alone = !config_.legacy && part.text.data() == text.data() && part.text == space_symbol &&
                              part.text.size() < text.size();
    if (part.id >= 0) {
      ids.push_back(part.id);
    } else if (!prefix_alone) {
      encode_stretch(part.text, ids);
    }
  }
  return ids;
}

void SpmTokenizer::append_first(std::string_view text, std::vector<std::int32_t>& ids) const {
  encode(hidden_, text, ids);
}

void SpmTokenizer::append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const {
  // sentencepiece puts its dummy prefix before a user-defined piece too; a token that the folder added gets none.
  if (id < spm_size() && !plain_->IsControl(id)) {
    encode(plain_, piece(id), ids);
  } else {
    ids.push_back(id);
  }
}

void SpmTokenizer::append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const {
  encode(hidden_bare_, text, ids);
}

// sentencepiece leaves its user-defined pieces as they are in a text; `tokenizers` changes all of it.
void SpmTokenizer::settle_json(const Path& file) {
  if (beyond_llama_tokenizer(spm_).empty()) return;
  beyond_json_ = beyond_tokenizer_json(spm_);
  const auto is_user_defined = [](const SpmPiece& piece) { return piece.type == PieceType::user_defined; };
  if (!beyond_json_.empty() || std::ranges::none_of(spm_.pieces, is_user_defined)) return;
  const Processor processor = make_processor(edit_spm_model(bytes_, is_user_defined, false), file);
  const auto changes = [&](const SpmPiece& piece) { return processor->Normalize(piece.text) != piece.text; };
  for (const SpmPiece& piece : spm_.pieces) {
    if (is_user_defined(piece) && changes(piece))
      beyond_json_ = "leaves the user-defined piece '" + piece.text + "' as it is and changes such a text elsewhere";
  }
}

std::string SpmTokenizer::note_on_transformers(bool configured) const {
  const std::string beyond_llama = beyond_llama_tokenizer(spm_);
  if (beyond_llama.empty()) return "";
  if (!beyond_json_.empty()) {
    return "the sentencepiece model " + beyond_json_ +
           ", which no tokenizer.json can say: none is written beside it, and Transformers may give other ids or texts "
           "than this program, which has sentencepiece's";
  }
  const bool llama = config_.class_name == "LlamaTokenizer" || config_.class_name == "CodeLlamaTokenizer";
  if (!configured || !llama || config_.model_type == "mistral") return "";
  return "the sentencepiece model " + beyond_llama + ", which " + config_.class_name +
         " of Transformers 5 does not know: without a tokenizer.json it gives other ids there than here, where they "
         "are sentencepiece's";
}

std::optional<Json> SpmTokenizer::as_tokenizer_json() const {
  if (beyond_llama_tokenizer(spm_).empty() || !beyond_json_.empty()) return std::nullopt;
  return spm_tokenizer_json(spm_);
}

std::string SpmTokenizer::default_config() const {
  const char* kind = as_tokenizer_json() ? "PreTrainedTokenizerFast" : "LlamaTokenizer";
  Json json{{"tokenizer_class", kind}, {"add_bos_token", false}, {"add_eos_token", false}, {"legacy", true}};
  const auto name_token = [&](const char* key, int id) { json[key] = id < 0 ? Json(nullptr) : Json(piece(id)); };
  name_token("bos_token", bos_);
  name_token("eos_token", eos_);
  name_token("unk_token", plain_->unk_id());
  return dump_json(json) + "\n";
}

}  // namespace steerlm
