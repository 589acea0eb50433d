#include "hf/folder_json.h"
#include "steerlm/core/paths.h"

namespace steerlm {

Json read_folder_json(const Path& path, std::string_view what) {
  constexpr std::uintmax_t largest = 16 << 20;
  if (is_there(path, ExitCode::model)) {
    std::error_code error;
    if (!std::filesystem::is_regular_file(path, error))
      fail(ExitCode::model, {.what = "not a file", .where = path.string(), .expected = std::string(what)});
    const std::uintmax_t size = std::filesystem::file_size(path, error);
    if (!error && size > largest) {
      fail(ExitCode::model, {.what = "too large for a " + std::string(what),
                             .where = path.string(),
                             .found = std::to_string(size) + " bytes",
                             .expected = "at most " + std::to_string(largest)});
    }
  }
  const std::string bytes = read_file(path, ExitCode::model, what);
  if (bytes.starts_with("version https://git-lfs")) {
    fail(ExitCode::model, {.what = "a Git LFS pointer instead of the " + std::string(what),
                           .where = path.string(),
                           .advice = "run 'git lfs pull' in the folder that it was cloned into"});
  }
  return parse_json(bytes, path.string(), ExitCode::model);
}

}  // namespace steerlm
