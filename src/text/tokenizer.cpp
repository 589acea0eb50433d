#include "steerlm/text/tokenizer.h"

#include <sentencepiece_processor.h>

#include <algorithm>
#include <unordered_map>

#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/core/utf8.h"
#include "text/spm_log.h"
#include "text/spm_model.h"
#include "text/tokenizer_config.h"
#include "text/tokenizer_file.h"

namespace steerlm {
namespace {

using sentencepiece::SentencePieceProcessor;
using Processor = std::shared_ptr<const SentencePieceProcessor>;

constexpr std::string_view space_symbol = "\xE2\x96\x81";  // U+2581, sentencepiece's space
constexpr std::string_view replacement = "\xEF\xBF\xBD";   // U+FFFD
constexpr std::string_view ascii_spaces = " \t\n\r\f\v";

bool is_marker(std::string_view text) { return text == system_marker || text == turn_marker || text == label_marker; }

Processor make_processor(const std::string& bytes, const Path& file) {
  silence_sentencepiece();
  auto processor = std::make_shared<SentencePieceProcessor>();
  if (!processor->LoadFromSerializedProto(bytes).ok()) {
    fail(ExitCode::model, {.what = "sentencepiece does not accept the model",
                           .where = file.string(),
                           .advice = "the file may be damaged; copy or download it again"});
  }
  return processor;
}

// Appends bytes as UTF-8, U+FFFD for each byte that belongs to no character, as sentencepiece decodes byte pieces.
void append_bytes(std::string_view bytes, std::string& text) {
  while (const auto bad = find_invalid_utf8(bytes)) {
    text += bytes.substr(0, *bad);
    text += replacement;
    bytes.remove_prefix(*bad + 1);
  }
  text += bytes;
}

void append_spaced(std::string_view piece, std::string& text) {
  for (size_t at = 0; at < piece.size();) {
    const bool space = piece.substr(at).starts_with(space_symbol);
    text += space ? ' ' : piece[at];
    at += space ? space_symbol.size() : 1;
  }
}

}  // namespace

// Four processors of one model. `hidden`: the template's markers and special user-defined pieces are no longer matched.
// `bare`: no dummy prefix.
struct Tokenizer::Model {
  struct Token {
    AddedToken token;
    std::int32_t id;
  };

  Path file;
  Path folder;  // empty: a bare file
  std::string bytes;
  SpmModel spm;
  TokenizerConfig config;
  std::vector<Token> tokens;                           // matched by encode_line, longest first
  std::unordered_map<std::int32_t, AddedToken> added;  // ids behind the model's own
  std::int64_t vocab_size = 0;
  std::int32_t bos = -1;
  std::int32_t eos = -1;
  Processor plain;
  Processor plain_bare;
  Processor hidden;
  Processor hidden_bare;

  std::int32_t spm_size() const { return static_cast<std::int32_t>(spm.pieces.size()); }
  std::optional<std::int32_t> find(std::string_view piece) const;
  void add_tokens();
  void make_processors();
  void encode(const Processor& processor, std::string_view text, std::vector<std::int32_t>& ids) const;
  void encode_stretch(std::string_view text, std::vector<std::int32_t>& ids) const;
  std::string decode(std::span<const std::int32_t> ids, bool at_start) const;
};

std::optional<std::int32_t> Tokenizer::Model::find(std::string_view piece) const {
  for (const auto& [id, token] : added) {
    if (token.text == piece) return id;
  }
  const int id = plain->PieceToId(piece);
  if (id < 0 || id >= spm_size() || spm.pieces[static_cast<size_t>(id)].text != piece) return std::nullopt;
  return id;
}

// Gives every token of the config its id: the file's, else the model's; one without either is in no vocabulary and is left out.
void Tokenizer::Model::add_tokens() {
  for (const int id : {plain->unk_id(), plain->bos_id(), plain->eos_id()}) {
    if (id < 0) continue;
    const std::string& text = spm.pieces[static_cast<size_t>(id)].text;
    if (std::ranges::find(config.tokens, text, &AddedToken::text) == config.tokens.end()) {
      config.tokens.push_back({.text = text, .id = id, .special = true});
    }
  }
  vocab_size = spm_size();
  for (const AddedToken& token : config.tokens) {
    if (token.id && *token.id >= spm_size()) {
      added.emplace(*token.id, token);
      vocab_size = std::max<std::int64_t>(vocab_size, *token.id + 1);
    }
  }
  for (const AddedToken& token : config.tokens) {
    const auto id = token.id ? token.id : find(token.text);
    if (id) tokens.push_back({token, *id});
  }
  std::ranges::stable_sort(tokens, std::greater{}, [](const Token& token) { return token.token.text.size(); });
}

void Tokenizer::Model::make_processors() {
  const auto hide = [&](const SpmPiece& piece) {
    if (piece.type != PieceType::user_defined) return false;
    return is_marker(piece.text) || std::ranges::find(chat_markers, piece.text) != std::ranges::end(chat_markers) ||
           std::ranges::any_of(tokens, [&](const Token& token) { return token.token.special && token.token.text == piece.text; });
  };
  const auto hide_nothing = [](const SpmPiece&) { return false; };
  plain_bare = make_processor(edit_spm_model(bytes, hide_nothing, false), file);
  hidden = plain;
  hidden_bare = plain_bare;
  if (std::ranges::any_of(spm.pieces, hide)) {
    hidden = make_processor(edit_spm_model(bytes, hide, spm.add_dummy_prefix), file);
    hidden_bare = make_processor(edit_spm_model(bytes, hide, false), file);
  }
}

void Tokenizer::Model::encode(const Processor& processor, std::string_view text, std::vector<std::int32_t>& ids) const {
  std::vector<int> piece_ids;
  if (!processor->Encode(text, &piece_ids).ok()) {
    fail(ExitCode::model,
         {.what = "the tokenizer cannot encode a text of " + std::to_string(text.size()) + " bytes", .where = file.string()});
  }
  ids.insert(ids.end(), piece_ids.begin(), piece_ids.end());
}

// One stretch between special tokens, transformers 4.57 LlamaTokenizer._tokenize. Without `legacy` a leading space is kept from
// sentencepiece, which may drop it, by encoding unk's text before it.
void Tokenizer::Model::encode_stretch(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (config.legacy) return encode(plain, text, ids);
  if (!text.starts_with(space_symbol) && !text.starts_with(' ')) return encode(plain_bare, text, ids);
  const std::string unk = plain->unk_id() < 0 ? "" : spm.pieces[static_cast<size_t>(plain->unk_id())].text;
  std::vector<std::int32_t> unk_ids;
  std::vector<std::int32_t> all_ids;
  encode(plain_bare, unk, unk_ids);
  encode(plain_bare, unk + std::string(text), all_ids);
  const size_t skip = all_ids.size() >= unk_ids.size() ? unk_ids.size() : 0;
  ids.insert(ids.end(), all_ids.begin() + static_cast<std::ptrdiff_t>(skip), all_ids.end());
}

// sentencepiece_processor.cc, SentencePieceProcessor::Decode: at the start of a text the dummy prefix is taken off again.
std::string Tokenizer::Model::decode(std::span<const std::int32_t> ids, bool at_start) const {
  std::string text;
  std::string run;  // of byte pieces
  bool strip = at_start && (spm.add_dummy_prefix || spm.remove_extra_whitespaces);
  bool stripped = false;
  for (const std::int32_t id : ids) {
    if (id < 0 || id >= vocab_size) {
      fail(ExitCode::data, {.what = "an id that is not in the vocabulary",
                            .found = std::to_string(id),
                            .expected = "0 to " + std::to_string(vocab_size - 1)});
    }
    if (id < spm_size() && plain->IsByte(id)) {
      run += static_cast<char>(std::stoi(spm.pieces[static_cast<size_t>(id)].text.substr(3, 2), nullptr, 16));  // "<0x0A>"
      continue;
    }
    append_bytes(run, text);
    run.clear();
    if (stripped || !text.empty()) strip = false;
    if (id >= spm_size()) {
      const auto token = added.find(id);
      if (token != added.end() && (!token->second.special || is_marker(token->second.text))) text += token->second.text;
      continue;
    }
    std::string_view piece = spm.pieces[static_cast<size_t>(id)].text;
    if (plain->IsControl(id) && !is_marker(piece)) continue;
    if (plain->IsUnknown(id)) {
      text += spm.unk_surface;
      continue;
    }
    stripped = strip && piece.starts_with(space_symbol);
    if (stripped) piece.remove_prefix(space_symbol.size());
    if (spm.remove_extra_whitespaces) stripped = false;  // all leading spaces go
    append_spaced(piece, text);
  }
  append_bytes(run, text);
  return text;
}

Tokenizer::Tokenizer(std::shared_ptr<const Model> model) : model_(std::move(model)) {}

Tokenizer Tokenizer::load(const Path& file_or_model_folder) {
  auto model = std::make_shared<Model>();
  model->file = find_model_file(file_or_model_folder);
  model->bytes = read_model_file(model->file);
  model->spm = read_spm_model(model->bytes, model->file.string());
  model->plain = make_processor(model->bytes, model->file);
  if (model->file != file_or_model_folder) {
    model->folder = file_or_model_folder;
    model->config = read_tokenizer_config(model->folder);
  }
  model->add_tokens();
  model->make_processors();
  model->bos = model->plain->bos_id();
  model->eos = model->plain->eos_id();
  if (!model->config.bos.empty()) model->bos = model->find(model->config.bos).value_or(-1);
  if (!model->config.eos.empty()) model->eos = model->find(model->config.eos).value_or(-1);
  if (model->config.add_bos && model->bos < 0) {
    fail(ExitCode::model, {.what = "add_bos_token is true, but the tokenizer has no BOS piece",
                           .where = (model->folder / "tokenizer_config.json").string()});
  }
  return Tokenizer(std::move(model));
}

std::int64_t Tokenizer::vocab_size() const { return model_->vocab_size; }

std::string Tokenizer::piece(std::int32_t id) const {
  if (id >= 0 && id < model_->spm_size()) return model_->spm.pieces[static_cast<size_t>(id)].text;
  const auto token = model_->added.find(id);
  return token == model_->added.end() ? "" : token->second.text;
}

std::optional<std::int32_t> Tokenizer::piece_id(std::string_view piece) const { return model_->find(piece); }
std::int32_t Tokenizer::bos_id() const { return model_->bos; }
std::int32_t Tokenizer::eos_id() const { return model_->eos; }
bool Tokenizer::add_bos() const { return model_->config.add_bos; }

std::vector<std::int32_t> Tokenizer::encode_line(std::string_view line) const {
  std::vector<std::int32_t> ids;
  if (line.empty()) return ids;
  std::string text(line);
  if (!model_->config.legacy && model_->spm.add_dummy_prefix) text.insert(0, space_symbol);
  size_t begin = 0;  // of the stretch that no special token is in
  const auto end_stretch = [&](size_t end, bool strip_end) {
    std::string_view stretch = std::string_view(text).substr(begin, end - begin);
    if (strip_end) stretch = stretch.substr(0, stretch.find_last_not_of(ascii_spaces) + 1);
    // The dummy prefix alone, before a special token: LlamaTokenizer.tokenize takes it away.
    const bool prefix_alone = !model_->config.legacy && begin == 0 && end < text.size() && stretch == space_symbol;
    if (!stretch.empty() && !prefix_alone) model_->encode_stretch(stretch, ids);
  };
  for (size_t at = 0; at < text.size();) {
    const auto token = std::ranges::find_if(model_->tokens, [&](const Model::Token& candidate) {
      return std::string_view(text).substr(at).starts_with(candidate.token.text);
    });
    if (token == model_->tokens.end()) {
      ++at;
      continue;
    }
    end_stretch(at, token->token.strip_left);
    ids.push_back(token->id);
    begin = at + token->token.text.size();
    if (token->token.strip_right) begin = std::min(text.find_first_not_of(ascii_spaces, begin), text.size());
    at = begin;
  }
  end_stretch(text.size(), false);
  return ids;
}

void Tokenizer::append_first(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (model_->config.add_bos) ids.push_back(model_->bos);
  model_->encode(model_->hidden, text, ids);
}

void Tokenizer::append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const {
  if (model_->config.add_bos) ids.push_back(model_->bos);
  // sentencepiece puts its dummy prefix before a user-defined piece too; a token that the folder added gets none.
  if (id < model_->spm_size() && !model_->plain->IsControl(id)) {
    model_->encode(model_->plain, piece(id), ids);
  } else {
    ids.push_back(id);
  }
}

void Tokenizer::append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const {
  model_->encode(model_->hidden_bare, text, ids);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const { return model_->decode(ids, true); }
std::string Tokenizer::decode_continuation(std::span<const std::int32_t> ids) const { return model_->decode(ids, false); }

void Tokenizer::copy_to(const Path& folder) const {
  make_directory(folder);
  write_file_atomic(folder / "tokenizer.model", model_->bytes);
  for (const char* name : tokenizer_side_files) {
    const Path file = model_->folder / name;
    if (model_->folder.empty() || !std::filesystem::exists(file)) continue;
    write_file_atomic(folder / name, read_file(file, ExitCode::model, "tokenizer files"));
  }
  if (std::filesystem::exists(folder / tokenizer_side_files[0])) return;
  Json json{{"tokenizer_class", "LlamaTokenizer"}, {"add_bos_token", false}, {"add_eos_token", false}, {"legacy", true}};
  const auto name_token = [&](const char* key, int id) { json[key] = id < 0 ? Json(nullptr) : Json(piece(id)); };
  name_token("bos_token", model_->bos);
  name_token("eos_token", model_->eos);
  name_token("unk_token", model_->plain->unk_id());
  write_file_atomic(folder / tokenizer_side_files[0], dump_json(json) + "\n");
}

std::string Tokenizer::sha256() const { return sha256_hex(model_->bytes); }
const Path& Tokenizer::path() const { return model_->file; }

}  // namespace steerlm
