#include "steerlm/core/disk.h"

#include <sys/statvfs.h>

#include <system_error>

namespace steerlm {

std::optional<std::int64_t> free_disk_bytes(const Path& folder) {
  std::error_code error;
  Path there = std::filesystem::absolute(folder, error);
  if (error) return std::nullopt;
  while (!std::filesystem::exists(there, error) && there.has_relative_path()) there = there.parent_path();
  struct statvfs space {};
  if (::statvfs(there.c_str(), &space) != 0) return std::nullopt;
  return static_cast<std::int64_t>(space.f_bavail) * static_cast<std::int64_t>(space.f_frsize);
}

std::int64_t disk_bytes_of(const Path& folder) {
  std::error_code error;
  std::int64_t bytes = 0;
  for (std::filesystem::recursive_directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error)) {
    std::error_code unread;
    if (entry->symlink_status(unread).type() != std::filesystem::file_type::regular) continue;
    const std::uintmax_t size = entry->file_size(unread);
    if (!unread) bytes += static_cast<std::int64_t>(size);
  }
  return bytes;
}

}  // namespace steerlm
