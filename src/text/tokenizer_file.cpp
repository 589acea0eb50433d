#include "text/tokenizer_file.h"

namespace steerlm {
namespace {

constexpr std::uintmax_t largest_file = 1'000'000'000;

}  // namespace

Path find_model_file(const Path& path) {
  std::error_code error;
  const auto status = std::filesystem::status(path, error);
  if (!std::filesystem::exists(status)) {
    fail(ExitCode::model, {.what = "no such tokenizer file or model folder", .where = path.string()});
  }
  if (!std::filesystem::is_directory(status)) return path;
  const Path file = path / "tokenizer.model";
  if (std::filesystem::exists(file, error)) return file;
  if (std::filesystem::exists(path / "tokenizer.json", error)) {
    fail(ExitCode::model, {.what = "the folder has a tokenizer.json but no tokenizer.model; this version reads tokenizer.model",
                           .where = path.string(),
                           .advice = "put the model's sentencepiece file beside it, if it has one"});
  }
  fail(ExitCode::model, {.what = "the folder has no tokenizer.model", .where = path.string()});
}

std::string read_model_file(const Path& file) {
  std::error_code error;
  const auto size = std::filesystem::file_size(file, error);
  if (!error && size > largest_file) {
    fail(ExitCode::model, {.what = "too large for a tokenizer",
                           .where = file.string(),
                           .found = std::to_string(size) + " bytes",
                           .expected = "at most 1 GB"});
  }
  std::string bytes = read_file(file, ExitCode::model, "the tokenizer");
  if (bytes.empty()) fail(ExitCode::model, {.what = "the tokenizer file is empty", .where = file.string()});
  if (bytes.starts_with("version https://git-lfs")) {
    fail(ExitCode::model, {.what = "a Git LFS pointer, not the tokenizer itself",
                           .where = file.string(),
                           .advice = "fetch the file with 'git lfs pull'"});
  }
  if (bytes.starts_with('{')) {
    fail(ExitCode::model,
         {.what = "JSON, not a sentencepiece model; this version reads tokenizer.model", .where = file.string()});
  }
  return bytes;
}

}  // namespace steerlm
