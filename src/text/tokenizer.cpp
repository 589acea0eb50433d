#include "steerlm/text/tokenizer.h"

#include <algorithm>
#include <iterator>

#include "steerlm/core/hash.h"
#include "steerlm/core/paths.h"
#include "text/json_tokenizer.h"
#include "text/spm_tokenizer.h"
#include "text/tokenizer_file.h"

namespace steerlm {

Tokenizer::Tokenizer(Path file, Path folder, Kind kind)
    : file_(std::move(file)), folder_(std::move(folder)), kind_(std::move(kind)) {}

Tokenizer Tokenizer::load(const Path& file_or_model_folder) {
  const Path file = find_tokenizer_file(file_or_model_folder);
  const Path folder = file == file_or_model_folder ? Path() : file_or_model_folder;
  std::string bytes = read_tokenizer_file(file);
  TokenizerConfig config;
  if (!folder.empty()) config = read_tokenizer_config(folder);
  Kind kind;
  if (is_json(file, bytes)) {
    kind = std::make_shared<const JsonTokenizer>(std::move(bytes), file, std::move(config));
  } else {
    kind = std::make_shared<const SpmTokenizer>(std::move(bytes), file, std::move(config));
  }
  Tokenizer tokenizer(file, folder, std::move(kind));
  if (tokenizer.add_bos() && tokenizer.bos_id() < 0) {
    fail(ExitCode::model, {.what = "add_bos_token is true, but the tokenizer has no BOS piece",
                           .where = (folder / "tokenizer_config.json").string()});
  }
  return tokenizer;
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

const Path& Tokenizer::path() const { return file_; }

}  // namespace steerlm
