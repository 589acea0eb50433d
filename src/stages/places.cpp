#include "stages/places.h"

namespace steerlm {

namespace stdfs = std::filesystem;

namespace {

// As realpath(3), for a path of which no part need be there.
Path resolved(const Path& path, int& links) {
  constexpr int most_links = 40;               // as the kernel
  if (!path.has_relative_path()) return path;  // the root
  const Path folder = resolved(path.parent_path(), links), name = path.filename();
  if (name.empty() || name == ".") return folder;
  if (name == "..") return folder.parent_path();
  std::error_code error;
  if (folder.string().starts_with("/proc/") || !stdfs::is_symlink(folder / name, error)) return folder / name;
  const Path target = stdfs::read_symlink(folder / name, error);
  if (error || ++links > most_links) return folder / name;  // what opens it says it
  return resolved(folder / target, links);
}

}  // namespace

Path place_of(const Path& path) {
  std::error_code error;
  int links = 0;
  return resolved(stdfs::absolute(path, error), links);
}

bool lies_in(const Path& place, const Path& folder) {
  for (Path above = place;; above = above.parent_path()) {
    std::error_code error;
    if (above == folder || stdfs::equivalent(above, folder, error)) return true;
    if (above == above.parent_path()) return false;
  }
}

}  // namespace steerlm
