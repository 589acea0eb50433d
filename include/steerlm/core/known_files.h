// Which files were hashed by an earlier process, so that a start need not read all of its inputs again.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>

#include "steerlm/core/fs.h"

namespace steerlm {

// What tells a file from itself after a change. Whoever changes a file changes its time of change (ctime) too, which no
// program can set.
struct FileIdentity {
  std::int64_t device = 0, inode = 0, size = 0, modified_ns = 0, changed_ns = 0;
  bool operator==(const FileIdentity&) const = default;
};

// A file whose identity is the one that it had when it was hashed has the same bytes and is not read. Trusted is an
// identity that was recorded two seconds or more after the file's last change: until then another change might leave
// the same times. Files of less than 1 MiB are always read.
class KnownFiles {
 public:
  KnownFiles() = default;
  // What an earlier process wrote there; a file that is missing or damaged knows nothing.
  explicit KnownFiles(const Path& record);
  static bool is_record(const Path& path);  // whether such a file is there

  // Known, or read now. Throws `missing` for a file that is not there.
  std::string sha256(const Path& path, ExitCode missing);
  std::optional<std::string> known_sha256(const Path& path) const;
  // Whether the file is still the one that sha256() was asked for.
  bool is_unchanged(const Path& path) const;

  // Facts about files, each by a text that names the fact and the hashes that it is of.
  bool knows(const std::string& fact) const { return facts_.contains(fact); }
  void learn(const std::string& fact) { new_ |= facts_.insert(fact).second; }

  bool has_news() const { return new_; }  // that are worth writing
  // JSON: what is known of files that are there unchanged.
  std::string text() const;

 private:
  struct Known {
    FileIdentity identity;
    std::string sha256;
    bool trusted = false;
  };
  std::map<std::string, Known> files_;  // by absolute path
  std::set<std::string> facts_;
  bool new_ = false;
};

}  // namespace steerlm
