#include "steerlm/core/run_place.h"

#include <sys/stat.h>

#include <cctype>
#include <cerrno>

#include "core/no_follow.h"
#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

Path canonical_place(const Path& path) {
  std::error_code error;
  const Path whole = stdfs::absolute(path.empty() ? Path(".") : path, error);
  const Path place = error ? whole : stdfs::weakly_canonical(whole, error);
  if (error) fail_file("look at the folder", whole.empty() ? Path(".") : whole, error.value());
  return place.has_filename() ? place : place.parent_path();
}

bool is_text(const Json& object, const char* key) { return object.contains(key) && object.at(key).is_string(); }

// Unfinished, it has the name that BlockOutput gives it.
bool is_begun(const Path& place) {
  struct stat status {};
  return ::lstat(place.c_str(), &status) == 0 || ::lstat((place.string() + ".part").c_str(), &status) == 0;
}

}  // namespace

Json folder_identity(const Path& folder) {
  const Path place = folder.empty() ? Path(".") : folder;
  struct stat status {};
  if (::stat(place.c_str(), &status) != 0) fail_file("look at the folder", place, errno);
  return {{"place", place_text(canonical_place(folder))},
          {"device", static_cast<std::uint64_t>(status.st_dev)},
          {"inode", static_cast<std::uint64_t>(status.st_ino)}};
}

bool is_identity_of(const Json& identity, const Path& folder) {
  if (!identity.is_object() || !is_text(identity, "place") || !identity.contains("device") ||
      !identity.contains("inode"))
    return false;
  const Json now = folder_identity(folder);
  return identity.at("place") == now.at("place") ||
         (identity.at("device") == now.at("device") && identity.at("inode") == now.at("inode"));
}

Path absolute_place(const Path& file) { return canonical_place(file.parent_path()) / file.filename(); }

Path place_now(const Path& place, const Json& identity, const Path& folder) {
  const Path before = parse_place(identity.at("place").get<std::string>()), now = canonical_place(folder);
  if (before == now) return place;
  Path moved = (now / place.lexically_relative(before)).lexically_normal();
  // Another folder where this one was may have written what is there now: that is never taken for this one's.
  std::error_code error;
  const bool replaced = stdfs::exists(before, error) && !stdfs::equivalent(before, now, error);
  if (replaced) return moved;
  return is_begun(place) || !is_begun(moved) ? place : moved;
}

std::string place_text(const Path& place) { return utf8_text(place); }

// Undoes utf8_text. A name that holds such an escape itself becomes another one, and the file is then nobody's.
Path parse_place(const std::string& text) {
  std::string bytes;
  for (size_t i = 0; i < text.size(); ++i) {
    const bool escape = text.compare(i, 2, "\\x") == 0 && i + 3 < text.size() &&
                        std::isxdigit(static_cast<unsigned char>(text[i + 2])) != 0 &&
                        std::isxdigit(static_cast<unsigned char>(text[i + 3])) != 0;
    if (!escape) {
      bytes += text[i];
      continue;
    }
    bytes += static_cast<char>(std::stoi(text.substr(i + 2, 2), nullptr, 16));
    i += 3;
  }
  return bytes;
}

}  // namespace steerlm
