#include "text/tokenizer_file.h"
#include "steerlm/core/paths.h"

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

}  // namespace

Path find_tokenizer_file(const Path& path) {
  if (!is_there(path, ExitCode::model)) {
    fail(ExitCode::model, {.what = "no such tokenizer file or model folder", .where = path.string()});
  }
  if (!is_folder(path, ExitCode::model)) return path;
  for (const char* name : {"tokenizer.model", "tokenizer.json"}) {
    if (is_there(path / name, ExitCode::model)) return path / name;
  }
  fail(ExitCode::model, {.what = "the folder has no tokenizer.model and no tokenizer.json", .where = path.string()});
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

bool is_json(const Path& file, std::string_view bytes) { return file.extension() == ".json" || bytes.starts_with('{'); }

}  // namespace steerlm
