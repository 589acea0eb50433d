// Files that are whole or not there: every write, fsync and rename of the program goes through these functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "steerlm/core/error.h"

namespace steerlm {

using Path = std::filesystem::path;

// The whole file. A missing or unreadable file ends with `missing`, the exit code of the file's kind; `what` names the
// kind ("model config").
std::string read_file(const Path& path, ExitCode missing, std::string_view what);

// Writes beside `path` (`path.part`), fsyncs, renames over `path`, fsyncs the folder. Throws resources.
void write_file_atomic(const Path& path, std::string_view bytes);

// mkdir -p. Throws resources, also when a file is in the way or the folder cannot be written to.
void make_directory(const Path& path);

// rename(2) and fsync of the parent folder.
void publish(const Path& from, const Path& to);
// The same for a folder, also where a full one is at `to`: the two are swapped in one step and the old one is removed.
// Where the file system cannot swap, the old one is at `to`.old for a moment.
void publish_directory(const Path& from, const Path& to);
// A folder that is whole or not there: `fill` writes into `path`.part, which is fsynced and published as `path`, in
// place of a folder that is there. When it throws, nothing is left of it.
void write_directory_atomic(const Path& path, const std::function<void(const Path& part)>& fill);
void remove_all(const Path& path);
bool is_missing_or_empty_directory(const Path& path);

// A file that is written front to back, or appended to. Nothing is buffered in the program: what write() returned from
// is in the kernel, what sync() returned from is on disk.
class OutputFile {
 public:
  enum class Mode { create, append };
  OutputFile(const Path& path, Mode mode);
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  void write(std::string_view bytes);  // all of it, or throws resources
  void sync();
  void truncate(std::int64_t size);
  std::int64_t size() const { return size_; }
  const Path& path() const { return path_; }

 private:
  Path path_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

// Fault injection for tests: called before each operation ("open", "write", "fsync", "rename") with the path; a
// non-zero return is taken as errno of a failed call. Empty: off.
void set_fs_fault(std::function<int(std::string_view operation, const Path& path)> fault);

}  // namespace steerlm
