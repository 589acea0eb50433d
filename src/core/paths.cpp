#include "steerlm/core/paths.h"

#include <algorithm>

#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

[[noreturn]] void refuse(const char* what, const Path& path, const std::error_code& error, ExitCode code) {
  fail(code, {.what = what + (": " + error.message()), .where = path.string()});
}

std::filesystem::file_status look_at(const Path& path, ExitCode code) {
  std::error_code error;
  const std::filesystem::file_status status = std::filesystem::status(path, error);
  if (status.type() == std::filesystem::file_type::none) refuse("cannot look at the path", path, error, code);
  return status;
}

}  // namespace

bool is_there(const Path& path, ExitCode code) { return std::filesystem::exists(look_at(path, code)); }

bool is_folder(const Path& path, ExitCode code) { return std::filesystem::is_directory(look_at(path, code)); }

std::int64_t file_bytes(const Path& path, ExitCode code) {
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) refuse("cannot read the size of the file", path, error, code);
  return static_cast<std::int64_t>(size);
}

std::vector<Path> files_of(const Path& folder, ExitCode code) {
  std::error_code error;
  std::vector<Path> files;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (std::filesystem::is_regular_file(look_at(entry->path(), code))) files.push_back(entry->path());
  }
  if (error) refuse("cannot list the folder", folder, error, code);
  std::sort(files.begin(), files.end());
  return files;
}

std::string utf8_text(const Path& path) {
  static constexpr char digits[] = "0123456789ABCDEF";
  std::string_view rest = path.native();
  std::string text;
  while (const auto bad = find_invalid_utf8(rest)) {
    const auto byte = static_cast<unsigned char>(rest[*bad]);
    text.append(rest.substr(0, *bad)).append("\\x");
    text += digits[byte >> 4];
    text += digits[byte & 15];
    rest.remove_prefix(*bad + 1);
  }
  return text.append(rest);
}

}  // namespace steerlm
