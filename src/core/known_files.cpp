#include "steerlm/core/known_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <chrono>

#include "core/no_follow.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/json.h"
#include "steerlm/core/run_place.h"

namespace steerlm {
namespace {

constexpr std::int64_t always_read_below = 1 << 20, settled_ns = 2'000'000'000;
constexpr int format = 1;

std::int64_t nanoseconds(const timespec& time) { return time.tv_sec * 1'000'000'000 + time.tv_nsec; }

// Links are followed.
std::optional<FileIdentity> identity_of(const Path& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) return std::nullopt;
  return FileIdentity{static_cast<std::int64_t>(status.st_dev), static_cast<std::int64_t>(status.st_ino),
                      status.st_size, nanoseconds(status.st_mtim), nanoseconds(status.st_ctim)};
}

std::int64_t now_ns() {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

std::string name_of(const Path& path) { return absolute_place(path).native(); }

// Nothing of a file that is damaged or another one.
std::optional<Json> read_record(const Path& path) {
  try {
    Json json = parse_json(read_file(path, ExitCode::resources, "the record of hashed files"), path.string(),
                           ExitCode::resources);
    const auto has = [&](const char* key) { return json.is_object() && json.contains(key); };
    if (has("format") && has("files") && has("facts")) return json;
  } catch (const Error&) {
  }
  return std::nullopt;
}

}  // namespace

bool KnownFiles::is_record(const Path& path) { return is_file(path) && read_record(path).has_value(); }

KnownFiles::KnownFiles(const Path& record) {
  const std::optional<Json> json = is_file(record) ? read_record(record) : std::nullopt;
  if (!json || json->at("format") != format) return;
  try {
    for (const Json& file : json->at("files")) {
      const auto number = [&](const char* key) { return file.at(key).get<std::int64_t>(); };
      files_[parse_place(file.at("path").get<std::string>()).native()] = {
          {number("device"), number("inode"), number("size"), number("modified_ns"), number("changed_ns")},
          file.at("sha256").get<std::string>(),
          true};
    }
    for (const Json& fact : json->at("facts")) facts_.insert(fact.get<std::string>());
  } catch (const Json::exception&) {  // damaged: everything is read again
    *this = {};
  }
}

std::optional<std::string> KnownFiles::known_sha256(const Path& path) const {
  const auto known = files_.find(name_of(path));
  if (known == files_.end() || !known->second.trusted) return std::nullopt;
  const auto identity = identity_of(path);
  if (!identity || *identity != known->second.identity) return std::nullopt;
  return known->second.sha256;
}

std::string KnownFiles::sha256(const Path& path, ExitCode missing) {
  if (const auto known = known_sha256(path)) return *known;
  const std::optional<FileIdentity> before = identity_of(path);
  const std::int64_t begin_ns = now_ns();
  std::string hash = sha256_file(path, missing);
  const std::string name = name_of(path);
  files_.erase(name);
  if (!before || identity_of(path) != before) return hash;
  const bool settled = begin_ns - std::max(before->modified_ns, before->changed_ns) >= settled_ns;
  files_[name] = {*before, hash, settled && before->size >= always_read_below};
  new_ |= files_[name].trusted;
  return hash;
}

bool KnownFiles::is_unchanged(const Path& path) const {
  const auto known = files_.find(name_of(path));
  return known != files_.end() && identity_of(path) == known->second.identity;
}

std::string KnownFiles::text() const {
  Json files = Json::array();
  for (const auto& [name, known] : files_) {
    if (!known.trusted || identity_of(name) != known.identity) continue;
    const FileIdentity& identity = known.identity;
    files.push_back({{"path", place_text(name)},
                     {"device", identity.device},
                     {"inode", identity.inode},
                     {"size", identity.size},
                     {"modified_ns", identity.modified_ns},
                     {"changed_ns", identity.changed_ns},
                     {"sha256", known.sha256}});
  }
  return Json{{"format", format}, {"files", std::move(files)}, {"facts", facts_}}.dump(1) + "\n";
}

}  // namespace steerlm
