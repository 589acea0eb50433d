#include "core/no_follow.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace steerlm {

std::optional<struct stat> status_of(const Path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  fail_file("look at the file", path, errno);
}
bool is_file(const Path& path) {
  const auto status = status_of(path);
  return status && S_ISREG(status->st_mode);
}
bool is_folder(const Path& path) {
  const auto status = status_of(path);
  return status && S_ISDIR(status->st_mode);
}

std::vector<std::string> entries_of(const Path& folder) {
  std::vector<std::string> names;
  std::error_code error;
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error))
    names.push_back(entry->path().filename().string());
  if (error) fail_file("look into the folder", folder, error.value());
  std::ranges::sort(names);
  return names;
}

namespace {

// Opens the folder that `name` is in, link by link refused: -1 where there is no such folder.
int open_parent(const Path& root, const Path& name) {
  int folder = ::open(root.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  for (const Path& part : name.parent_path()) {
    if (folder < 0) break;
    const int next = ::openat(folder, part.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    ::close(folder);
    folder = next;
  }
  return folder;
}

}  // namespace

void remove_one(const Path& root, const std::string& name, bool folder) {
  const int parent = open_parent(root, name);
  if (parent < 0) return;
  const Path last = Path(name).filename();
  struct stat status {};
  const bool there = ::fstatat(parent, last.c_str(), &status, AT_SYMLINK_NOFOLLOW) == 0;
  const bool ours = there && (folder ? S_ISDIR(status.st_mode) : S_ISREG(status.st_mode));
  const int error = ours && ::unlinkat(parent, last.c_str(), folder ? AT_REMOVEDIR : 0) != 0 ? errno : 0;
  ::close(parent);
  if (error != 0 && error != ENOENT && !(folder && (error == ENOTEMPTY || error == EEXIST)))
    fail_file("remove", root / name, error);
}

}  // namespace steerlm
