#include "steerlm/text/tokenizer.h"

#include <algorithm>
#include <iterator>

#include "steerlm/core/hash.h"
#include "steerlm/core/paths.h"
#include "text/json_tokenizer.h"
#include "text/spm_tokenizer.h"
#include "text/tokenizer_agreement.h"
#include "text/tokenizer_file.h"

namespace steerlm {

namespace {

using Spm = std::shared_ptr<const SpmTokenizer>;
using Js = std::shared_ptr<const JsonTokenizer>;

[[noreturn]] void refuse_tiktoken(const Path& file) {
  fail(ExitCode::model,
       {.what = "the file is a tiktoken vocabulary, which is not read",
        .where = file.string(),
        .expected = "a sentencepiece model, or a tokenizer.json beside it",
        .advice = "load the tokenizer with Transformers and save it with save_pretrained(folder), which writes a "
                  "tokenizer.json"});
}

// The tokenizer.json of a folder that has a sentencepiece model too; nullptr: the two agree, and the model is read.
Js disagreeing_json(const Spm& spm, const Path& file, const TokenizerConfig& config, std::vector<std::string>& notes) {
  const std::string bytes = read_tokenizer_file(file);
  Js json;
  try {
    json = std::make_shared<const JsonTokenizer>(bytes, file, config);
  } catch (const Error& error) {
    // A kind of tokenizer.json that is not implemented, as Unigram is: where it has the same pieces the model says all.
    const std::string difference = difference_in_pieces(*spm, bytes, file.string());
    if (difference.empty()) return nullptr;
    std::vector<Fault> faults = error.faults();
    faults.push_back(
        {.what = "tokenizer.model cannot stand in for it: " + difference, .where = file.parent_path().string()});
    throw Error(ExitCode::model, std::move(faults));
  }
  const std::string difference = steerlm::difference(*spm, *json);
  if (difference.empty()) return nullptr;
  notes.push_back(file.string() +
                  ": tokenizer.model and tokenizer.json disagree; tokenizer.json is read, as Transformers "
                  "does (" +
                  difference + ")");
  return json;
}

}  // namespace

Tokenizer::Tokenizer(Path file, Path folder, Kind kind)
    : file_(std::move(file)), folder_(std::move(folder)), kind_(std::move(kind)) {}

Tokenizer Tokenizer::load(const Path& file_or_model_folder) {
  const std::vector<Path> files = find_tokenizer_files(file_or_model_folder);
  const Path folder = files[0] == file_or_model_folder ? Path() : file_or_model_folder;
  TokenizerConfig config;
  if (!folder.empty()) config = read_tokenizer_config(folder);
  std::vector<std::string> notes;
  Path file = files[0];
  Kind kind;
  bool tiktoken = false;
  try {
    std::string bytes = read_tokenizer_file(file);
    if (is_json(file, bytes)) {
      kind = std::make_shared<const JsonTokenizer>(std::move(bytes), file, config);
    } else {
      tiktoken = is_tiktoken(bytes);
      if (tiktoken) refuse_tiktoken(file);
      kind = std::make_shared<const SpmTokenizer>(std::move(bytes), file, config);
    }
  } catch (const Error& error) {
    if (files.size() == 1) throw;
    // Beside a tokenizer.json nobody needs the other file: tiktoken's, a Git LFS pointer.
    file = files[1];
    kind = std::make_shared<const JsonTokenizer>(read_tokenizer_file(file), file, config);
    if (!tiktoken)
      notes.push_back(files[0].string() + ": not read, tokenizer.json is (" + error.faults().front().what + ")");
  }
  if (const Spm* spm = std::get_if<Spm>(&kind); spm && files.size() > 1) {
    if (Js json = disagreeing_json(*spm, files[1], config, notes)) {
      kind = std::move(json);
      file = files[1];
    }
  }
  Tokenizer tokenizer(file, folder, std::move(kind));
  std::visit([&](const auto& made) { notes.insert(notes.end(), made->notes().begin(), made->notes().end()); },
             tokenizer.kind_);
  if (const Spm* spm = std::get_if<Spm>(&tokenizer.kind_); spm && files.size() == 1) {
    const bool configured = !folder.empty() && is_there(folder / tokenizer_side_files[0], ExitCode::model);
    if (std::string note = (*spm)->note_on_transformers(configured); !note.empty()) notes.push_back(std::move(note));
  }
  tokenizer.notes_ = std::move(notes);
  if (tokenizer.add_bos() && tokenizer.bos_id() < 0) {
    fail(ExitCode::model, {.what = "add_bos_token is true, but the tokenizer has no BOS piece",
                           .where = (folder / "tokenizer_config.json").string()});
  }
  return tokenizer;
}

const std::string& Tokenizer::bytes_without_piece() const {
  return std::visit([](const auto& kind) -> const std::string& { return kind->bytes_without_piece(); }, kind_);
}

std::int64_t Tokenizer::vocab_size() const {
  return std::visit([](const auto& kind) { return kind->vocab_size(); }, kind_);
}

std::string Tokenizer::piece(std::int32_t id) const {
  return std::visit([&](const auto& kind) { return kind->piece(id); }, kind_);
}

std::optional<std::int32_t> Tokenizer::piece_id(std::string_view piece) const {
  return std::visit([&](const auto& kind) { return kind->find(piece); }, kind_);
}

std::int32_t Tokenizer::bos_id() const {
  return std::visit([](const auto& kind) { return kind->bos(); }, kind_);
}

std::int32_t Tokenizer::eos_id() const {
  return std::visit([](const auto& kind) { return kind->eos(); }, kind_);
}

bool Tokenizer::add_bos() const {
  return std::visit([](const auto& kind) { return kind->add_bos(); }, kind_);
}

std::vector<std::int32_t> Tokenizer::encode_line(std::string_view line) const {
  return std::visit([&](const auto& kind) { return kind->encode_line(line); }, kind_);
}

void Tokenizer::append_first(std::string_view text, std::vector<std::int32_t>& ids) const {
  if (add_bos()) ids.push_back(bos_id());
  std::visit([&](const auto& kind) { kind->append_first(text, ids); }, kind_);
}

void Tokenizer::append_first_piece(std::int32_t id, std::vector<std::int32_t>& ids) const {
  if (add_bos()) ids.push_back(bos_id());
  std::visit([&](const auto& kind) { kind->append_first_piece(id, ids); }, kind_);
}

void Tokenizer::append_continuation(std::string_view text, std::vector<std::int32_t>& ids) const {
  std::visit([&](const auto& kind) { kind->append_continuation(text, ids); }, kind_);
}

std::string Tokenizer::decode(std::span<const std::int32_t> ids) const {
  return std::visit([&](const auto& kind) { return kind->decode(ids, true); }, kind_);
}

std::string Tokenizer::decode_continuation(std::span<const std::int32_t> ids) const {
  std::vector<std::int32_t> known;
  std::ranges::copy_if(ids, std::back_inserter(known), [&](std::int32_t id) { return id < vocab_size(); });
  return std::visit([&](const auto& kind) { return kind->decode(known, false); }, kind_);
}

void Tokenizer::copy_to(const Path& folder) const {
  make_directory(folder);
  const bool json = std::holds_alternative<std::shared_ptr<const JsonTokenizer>>(kind_);
  const auto copy = [&](const char* name) {
    if (folder_.empty() || !is_there(folder_ / name, ExitCode::model)) return;
    write_file_atomic(folder / name, read_file(folder_ / name, ExitCode::model, "tokenizer files"));
  };
  write_file_atomic(folder / (json ? "tokenizer.json" : "tokenizer.model"),
                    std::visit([](const auto& kind) -> const std::string& { return kind->bytes(); }, kind_));
  if (!json) copy("tokenizer.json");  // beside the model, for Transformers
  for (const char* name : tokenizer_side_files) copy(name);
  if (is_there(folder / tokenizer_side_files[0], ExitCode::resources)) return;
  if (const auto* spm = std::get_if<std::shared_ptr<const SpmTokenizer>>(&kind_);
      spm && !is_there(folder / "tokenizer.json", ExitCode::resources)) {
    if (const auto made = (*spm)->as_tokenizer_json())
      write_file_atomic(folder / "tokenizer.json", dump_json(*made) + "\n");
  }
  write_file_atomic(folder / tokenizer_side_files[0],
                    std::visit([](const auto& kind) { return kind->default_config(); }, kind_));
}

std::string Tokenizer::sha256() const {
  return sha256_hex(std::visit([](const auto& kind) -> const std::string& { return kind->bytes(); }, kind_));
}

std::string Tokenizer::encoding_sha256() const {
  Sha256 hash;
  hash.update(sha256());
  if (folder_.empty()) return hash.hex();
  std::vector<std::string> names{"tokenizer.model", "tokenizer.json", "config.json"};
  names.insert(names.end(), std::begin(tokenizer_side_files), std::end(tokenizer_side_files));
  for (const std::string& name : names) {
    if (is_there(folder_ / name, ExitCode::model))
      hash.update(name + " " + sha256_file(folder_ / name, ExitCode::model));
  }
  return hash.hex();
}

const Path& Tokenizer::path() const { return file_; }

}  // namespace steerlm
