// What a folder is that a run would write into, before anything is done there; a single file that is written into it.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/no_follow.h"
#include "steerlm/core/run_files.h"

namespace steerlm {

namespace stdfs = std::filesystem;

RunFiles::Place RunFiles::look(const Path& root) {
  std::error_code error;
  if (!status_of(root)) return {};
  const auto status = stdfs::status(root, error);
  if (status.type() == stdfs::file_type::not_found) return {Place::Kind::foreign, "a link that leads to nothing"};
  if (error) fail_file("look at the folder", root, error.value());
  if (!stdfs::is_directory(status)) return {Place::Kind::foreign, "a file"};
  if (is_folder(root / run_mark_folder) && is_file(root / run_mark_folder / "run.json"))
    return {Place::Kind::marked, ""};
  std::vector<std::string> names = entries_of(root);
  // A kill between making and marking a folder leaves no more than the lock.
  if (names == std::vector<std::string>{run_mark_folder} && is_folder(root / run_mark_folder)) {
    const std::vector<std::string> inside = entries_of(root / run_mark_folder);
    if (std::ranges::all_of(inside, [&](const std::string& name) {
          return (name == "lock" && is_file(root / run_mark_folder / name)) || name.ends_with(".part");
        }))
      return {};
  }
  if (names.empty()) return {};
  std::string found;
  constexpr size_t listed = 3;
  for (size_t i = 0; i < std::min(listed, names.size()); ++i) found += (i > 0 ? ", " : "") + names[i];
  if (names.size() > listed) found += " and " + std::to_string(names.size() - listed) + " more";
  return {Place::Kind::foreign, found};
}

void RunFiles::check_writable(const Path& root) {
  Path folder = root;
  std::error_code error;
  while (!stdfs::exists(folder, error) && folder.has_relative_path()) {
    folder = folder.has_filename() ? folder.parent_path() : folder.parent_path().parent_path();
    if (folder.empty()) folder = ".";
  }
  if (stdfs::exists(folder, error) && !stdfs::is_directory(folder, error)) fail_file("make the folder", root, ENOTDIR);
  for (const Path& each : {folder, root / run_mark_folder}) {
    if (stdfs::exists(each, error) && ::faccessat(AT_FDCWD, each.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
      fail_file("write to the folder", each, errno);
  }
}

void write_in_run(const Path& path, std::string_view bytes) {
  const Path mark = path.parent_path() / run_mark_folder;
  TemporaryFile part(is_folder(mark) ? mark / path.filename() : path);
  part.file().write(bytes);
  part.file().sync();
  publish(part.path(), path);
  part.keep();
}

bool RunFiles::holds_run(const Path& root) {
  const Place place = look(root);
  if (place.kind != Place::Kind::foreign) return place.kind == Place::Kind::marked;
  fail(ExitCode::resources, {.what = "the folder is not empty and no run has made it",
                             .where = root.string(),
                             .found = place.found,
                             .expected = "a folder that is new, empty or made by a run",
                             .advice = "choose another run_dir"});
}

bool RunFiles::holds_run_of(const Path& root, const std::string& stage, const std::string& given_as) {
  if (!holds_run(root)) return false;
  const std::string other = read(root).mark().value("stage", "");
  if (other == stage) return true;
  fail(ExitCode::recipe, {.what = "the folder holds a run of another stage",
                          .where = root.string(),
                          .found = other,
                          .expected = stage,
                          .advice = "choose another " + given_as});
}

}  // namespace steerlm
