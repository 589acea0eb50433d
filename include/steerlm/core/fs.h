// Files that are whole or not there: every write, fsync and rename of the program goes through these functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "steerlm/core/error.h"

namespace steerlm {

using Path = std::filesystem::path;

// An open device that is neither a terminal nor /dev/null: /dev/zero never ends, a disk is no file.
bool is_endless(int descriptor);

// The whole file, which may be a pipe only where it is a recipe. A missing or unreadable file ends with `missing`, the
// exit code of the file's kind; `what` names the kind ("model config").
std::string read_file(const Path& path, ExitCode missing, std::string_view what);

// Appends what standard input has to give next, 64 KiB at most, to `bytes`; false at its end. It waits as wait_to_read
// does. Throws `code`.
bool read_standard_input(std::string& bytes, ExitCode code);

// Writes into a temporary beside `path`, fsyncs, renames over `path`, fsyncs the folder. A failure at any place leaves
// what was at `path`, and no temporary. Throws resources.
void write_file_atomic(const Path& path, std::string_view bytes);

// fsync of the folder itself. Where the system does not let it be synced, a folder that may not be read among them,
// nothing is done: what got its name there has it.
void sync_folder(const Path& folder);

// mkdir -p. Throws resources, also when a file is in the way or the folder cannot be written to.
void make_directory(const Path& path);

// rename(2), which replaces a file or an empty folder at `to`, and fsync of the parent folder.
void publish(const Path& from, const Path& to);
// The same for a file, where nothing may be at `to`, not even what appeared there a moment ago. Throws resources.
void publish_new(const Path& from, const Path& to);
// A folder that is whole or not there: `fill` writes into a temporary beside `path`, which is fsynced and renamed.
// Nothing or an empty folder may be at `path`. When `fill` throws, nothing is left of it.
void write_directory_atomic(const Path& path, const std::function<void(const Path& part)>& fill);
// `folder` takes the place and name of the regular file `file`, which is removed: there is never a moment without one
// of the two. Throws resources, and `file` is still there.
void replace_file_by_folder(const Path& file, const Path& folder);
// Temporaries beside `path`: those of processes that were killed, and of those that are writing just now.
std::vector<Path> temporaries_of(const Path& path);
// Removes the files among them that a killed process has left: no process of that number is on this machine, and no
// other machine holds the file's lock. A link or a folder of such a name is nobody's temporary file.
void remove_dead_temporaries(const Path& path);
// unlink(2); nothing may be there.
void remove_file(const Path& path);
// Recursively. For folders that this program has made, and knows that it has.
void remove_all(const Path& path);
bool is_missing_or_empty_directory(const Path& path);

// A file that is written front to back, or appended to. Nothing is buffered in the program: what write() returned from
// is in the kernel, what sync() returned from is on disk.
class OutputFile {
 public:
  enum class Mode { create, create_new, append, through };  // create_new: nothing may be there; through: a device, FIFO
  OutputFile(const Path& path, Mode mode);
  OutputFile(const Path& name, int descriptor);  // takes the descriptor over
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&& other) noexcept;
  ~OutputFile();

  void write(std::string_view bytes);  // all of it, or throws resources
  void sync();
  void truncate(std::int64_t size);
  std::int64_t size() const { return size_; }
  const Path& path() const { return path_; }
  int descriptor() const { return descriptor_; }

 private:
  Path path_;
  int descriptor_ = -1;
  std::int64_t size_ = 0;
};

// A file of its own beside `path`, NAME.PID-N.part, locked (flock(2)) while it is open: nothing that was there before
// is opened. What killed processes left there of this name is removed.
OutputFile create_temporary(const Path& path);

// A file of its own beside `path` that goes with this object, or when a signal ends the process, unless it was given a
// name of its own.
class TemporaryFile {
 public:
  explicit TemporaryFile(const Path& path) : file_(create_temporary(path)) {}
  TemporaryFile(TemporaryFile&& other) noexcept : file_(std::move(other.file_)), kept_(other.kept_) {
    other.kept_ = true;
  }
  TemporaryFile& operator=(TemporaryFile&&) = delete;
  ~TemporaryFile();

  OutputFile& file() { return file_; }
  const Path& path() const { return file_.path(); }
  void keep();  // it has got its name

 private:
  OutputFile file_;
  bool kept_ = false;
};

// Throws resources: what failed, where, the cause that errno names and what helps against it.
[[noreturn]] void fail_file(std::string_view operation, const Path& path, int error);

// Fault injection for tests: called before each operation ("open", "write", "fsync", "mkdir", "rename", "link") with
// the path; a non-zero return is taken as errno of a failed call. Empty: off.
void set_fs_fault(std::function<int(std::string_view operation, const Path& path)> fault);

}  // namespace steerlm
