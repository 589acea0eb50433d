#include "text/tokenizer_file.h"
#include "steerlm/core/paths.h"

#include <algorithm>
#include <cctype>

namespace steerlm {
namespace {

constexpr std::uintmax_t largest_file = 1'000'000'000;
constexpr size_t largest_json = 256'000'000;  // the largest in use have 35 MB

[[noreturn]] void refuse_size(const Path& file, std::uintmax_t size, const char* expected) {
  fail(ExitCode::model, {.what = "too large for a tokenizer",
                         .where = file.string(),
                         .found = std::to_string(size) + " bytes",
                         .expected = std::string("at most ") + expected});
}

// Other kinds of tokenizer, of which Transformers makes a tokenizer.json.
[[noreturn]] void no_tokenizer(const Path& folder) {
  std::string found;
  for (const char* name : {"vocab.json", "vocab.txt", "merges.txt", "tekken.json", "tiktoken.model", "qwen.tiktoken",
                           "spiece.model", "sentencepiece.bpe.model", "tokenizer.model.v3"}) {
    if (is_there(folder / name, ExitCode::model)) found += (found.empty() ? "" : ", ") + std::string(name);
  }
  fail(ExitCode::model, {.what = "the folder has no tokenizer.model and no tokenizer.json",
                         .where = folder.string(),
                         .found = found,
                         .advice = found.empty() ? ""
                                                 : "load the tokenizer with Transformers and save it with "
                                                   "save_pretrained(folder), which writes a tokenizer.json"});
}

}  // namespace

std::vector<Path> find_tokenizer_files(const Path& path) {
  if (!is_there(path, ExitCode::model)) {
    fail(ExitCode::model, {.what = "no such tokenizer file or model folder", .where = path.string()});
  }
  if (!is_folder(path, ExitCode::model)) return {path};
  std::vector<Path> files;
  for (const char* name : {"tokenizer.model", "tokenizer.json"}) {
    if (is_there(path / name, ExitCode::model)) files.push_back(path / name);
  }
  if (files.empty()) no_tokenizer(path);
  return files;
}

std::string read_tokenizer_file(const Path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (!error && size > largest_file) refuse_size(file, size, "1 GB");
  std::string bytes = read_file(file, ExitCode::model, "the tokenizer");
  if (bytes.empty()) fail(ExitCode::model, {.what = "the tokenizer file is empty", .where = file.string()});
  if (bytes.starts_with("version https://git-lfs")) {
    fail(ExitCode::model, {.what = "a Git LFS pointer, not the tokenizer itself",
                           .where = file.string(),
                           .advice = "fetch the file with 'git lfs pull'"});
  }
  if (is_json(file, bytes) && bytes.size() > largest_json) refuse_size(file, bytes.size(), "256 MB");
  return bytes;
}

bool is_tiktoken(std::string_view bytes) {
  const std::string_view line = bytes.substr(0, bytes.find('\n'));
  const size_t space = line.find(' ');
  if (bytes.size() == line.size() || space == std::string_view::npos || space == 0 || space + 1 == line.size())
    return false;
  const auto is_base64 = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) || c == '+' || c == '/' || c == '=';
  };
  const auto is_digit = [](char c) { return c >= '0' && c <= '9'; };
  std::string_view rank = line.substr(space + 1);
  if (rank.ends_with('\r')) rank.remove_suffix(1);
  return std::ranges::all_of(line.substr(0, space), is_base64) && std::ranges::all_of(rank, is_digit);
}

bool is_json(const Path& file, std::string_view bytes) { return file.extension() == ".json" || bytes.starts_with('{'); }

}  // namespace steerlm
