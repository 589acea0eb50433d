#include "steerlm/core/run_place.h"

#include <sys/stat.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <optional>
#include <utility>
#include <vector>

#include "core/no_follow.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/run_files.h"

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

bool is_run(const Path& folder) {
  std::error_code error;
  return stdfs::exists(folder / run_mark_folder / "run.json", error);
}

Path folder_above(Path folder, int levels) {
  for (int level = 0; level < levels; ++level) folder = folder.parent_path();
  return folder;
}

// What a quoted text of a recipe stands for that begins at text[at], and where it ends; nothing where it has no end.
std::optional<std::pair<std::string, size_t>> read_quoted(const std::string& text, size_t at) {
  std::string result;
  for (++at; at < text.size() && text[at] != '"'; ++at) {
    const bool escaped = text[at] == '\\' && at + 1 < text.size() && (text[at + 1] == '"' || text[at + 1] == '\\');
    if (escaped) ++at;
    result += text[at];
  }
  if (at >= text.size()) return std::nullopt;
  return std::pair(result, at + 1);
}

using Folders = std::vector<std::pair<std::string, std::string>>;  // "runs/1/" and what is put in its place

std::string without_place(const std::string& text, const Folders& folders) {
  const auto folder_at = [&](const std::string& path, size_t at) {
    return std::ranges::find_if(
        folders, [&](const auto& folder) { return path.compare(at, folder.first.size(), folder.first) == 0; });
  };
  std::string result;
  for (size_t at = 0; at < text.size();) {
    const bool begins = at == 0 || std::string_view(" \n\"'[{,").find(text[at - 1]) != std::string_view::npos;
    if (!begins) {
      result += text[at++];
      continue;
    }
    // In a recipe's text a path has quotes where its characters need them, those of the folder too.
    const auto quoted = text[at] == '"' ? read_quoted(text, at) : std::nullopt;
    const auto folder = quoted ? folder_at(quoted->first, 0) : folder_at(text, at);
    if (folder == folders.end()) {
      const size_t end = quoted ? quoted->second : at + 1;
      result += text.substr(at, end - at);
      at = end;
      continue;
    }
    result += folder->second;
    if (quoted) result += quoted->first.substr(folder->first.size());
    at = quoted ? quoted->second : at + folder->first.size();
  }
  return result;
}

Json without_place(const Json& identity, const Folders& folders) {
  if (identity.is_string()) return without_place(identity.get<std::string>(), folders);
  Json result = identity;
  if (identity.is_structured()) {
    for (auto each = result.begin(); each != result.end(); ++each) *each = without_place(*each, folders);
  }
  return result;
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
  // A link that stands where the folder was leads to the same file, whose name is the one in the folder as it lies now.
  const Path around = stdfs::weakly_canonical(place.parent_path(), error);
  if (!error && around / place.filename() == moved) return moved;
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

int runs_around(const Path& run_dir) {
  std::error_code error;
  Path folder = stdfs::absolute(run_dir.empty() ? "." : run_dir, error).lexically_normal();
  if (error) return 0;
  if (!folder.has_filename()) folder = folder.parent_path();
  int count = 0;
  while (folder.has_relative_path() && is_run(folder.parent_path())) {
    folder = folder.parent_path();
    ++count;
  }
  return count;
}

Path place_in_run(const Path& place, const Json& by, const Path& folder) {
  if (!is_run(folder) || !place.is_absolute() || !by.is_object() || !by.contains("place") ||
      !by.at("place").is_string())
    return {};
  const Path before = parse_place(by.at("place").get<std::string>());
  if (!before.is_absolute()) return {};
  const auto resolved = [](const Path& path) { return absolute_place(path / "name").parent_path(); };
  std::error_code error;
  const Path spelled = stdfs::absolute(folder, error).lexically_normal();
  if (error) return {};
  const Path around =
      resolved(folder_above(spelled.has_filename() ? spelled : spelled.parent_path(), runs_around(folder)));
  const Path own = resolved(folder), now = (own / place.lexically_relative(before)).lexically_normal();
  const auto is_in = [&](const Path& above) {
    const Path inside = now.lexically_relative(above);
    return !inside.empty() && *inside.begin() != "..";
  };
  return is_in(own) || is_in(around) ? now : Path();  // the folder itself may be linked to from those around it
}

// runs/1/sft, which is in runs/1 -> "@/x" for "runs/1/sft/x", "@/../base/model" for "runs/1/base/model": the same
// however many run directories are around runs/1, and whether the current directory is in one of them.
Json without_place(const Json& identity, const Path& run_dir) {
  const int around = runs_around(run_dir);
  Folders folders;
  std::string way = "@/";
  Path folder = run_dir.has_filename() ? run_dir : run_dir.parent_path();
  for (int level = 0; around > 0 && level <= around && !folder.empty(); ++level) {
    folders.emplace_back(folder.string() + "/", way);
    folder = folder.parent_path();
    way += "../";
  }
  return folders.empty() ? identity : without_place(identity, folders);
}

}  // namespace steerlm
