#include "core/no_follow.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace steerlm {

[[noreturn]] void fail_at(const std::string& what, const Path& path, int error) {
  fail(ExitCode::resources, {.what = what + ": " + std::strerror(error), .where = path.string()});
}

std::optional<struct stat> status_of(const Path& path) {
  struct stat status {};
  if (::lstat(path.c_str(), &status) == 0) return status;
  if (errno == ENOENT || errno == ENOTDIR) return std::nullopt;
  fail_at("cannot look at the file", path, errno);
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
  if (error) fail_at("cannot look into the folder", folder, error.value());
  std::ranges::sort(names);
  return names;
}

void sync_folder(const Path& folder) {
  const int descriptor = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_at("cannot open the folder", folder, errno);
  const int error = ::fsync(descriptor) == 0 ? 0 : errno;
  ::close(descriptor);
  if (error != 0 && error != EINVAL) fail_at("cannot fsync the folder", folder, error);
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
    fail_at("cannot remove", root / name, error);
}

}  // namespace steerlm
