#include "steerlm/core/output.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <utility>

#include "core/end_signals.h"
#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

using Status = struct stat;

[[noreturn]] void refuse(const std::string& named, const std::string& what, const std::string& advice) {
  fail(ExitCode::resources, {.what = what, .where = named, .advice = advice});
}

[[noreturn]] void refuse_errno(const std::string& named, int error) { fail_file("write to this place", named, error); }

std::optional<Status> status_of(const Path& path) {
  Status status{};
  if (::stat(path.c_str(), &status) != 0) return std::nullopt;
  return status;
}

bool same_file(const Status& a, const Status& b) { return a.st_dev == b.st_dev && a.st_ino == b.st_ino; }

Path folder_of(const Path& path) { return path.has_parent_path() ? path.parent_path() : Path("."); }

std::optional<int> parse_descriptor(const std::string& name) {
  int number = -1;
  const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), number);
  if (error != std::errc() || end != name.data() + name.size() || number < 0) return std::nullopt;
  return number;
}

// N of /dev/fd/N, /proc/self/fd/N and the like: opened anew, a regular file behind it would be written from its start.
std::optional<int> own_descriptor(const Path& path) {
  if (path == "/dev/stdin") return 0;
  if (path == "/dev/stdout") return 1;
  if (path == "/dev/stderr") return 2;
  const auto number = parse_descriptor(path.filename().string());
  if (!number) return std::nullopt;
  const Path folder = folder_of(path);
  if (folder == "/dev/fd" || folder == "/proc/self/fd") return number;
  const std::unique_ptr<char, decltype(&std::free)> real(::realpath(folder.c_str(), nullptr), &std::free);
  if (!real) return std::nullopt;
  const std::string own = "/proc/" + std::to_string(::getpid());
  const std::string name = real.get();
  const bool of_thread = name.starts_with(own + "/task/") && name.ends_with("/fd");
  return name == own + "/fd" || of_thread ? number : std::nullopt;
}

// Follows links one by one: the last one may lead to nothing yet, or to a descriptor of this process.
void follow(OutputPlace& place) {
  constexpr int most_links = 40;  // as the kernel
  place.file = place.named;
  for (int links = 0;; ++links) {
    if (const auto descriptor = own_descriptor(place.file)) {
      place.descriptor = *descriptor;
      return;
    }
    Status status{};
    if (::lstat(place.file.c_str(), &status) != 0) {
      if (errno == ENOENT) return;
      refuse_errno(place.named, errno);
    }
    if (!S_ISLNK(status.st_mode)) return;
    if (links == most_links) refuse_errno(place.named, ELOOP);
    std::error_code error;
    const Path target = std::filesystem::read_symlink(place.file, error);
    if (error) refuse_errno(place.named, error.value());
    place.file = target.is_absolute() ? target : folder_of(place.file) / target;
  }
}

std::optional<Status> status_at(const OutputPlace& place) {
  if (place.descriptor < 0) return status_of(place.file);
  Status status{};
  const int flags = ::fcntl(place.descriptor, F_GETFL);
  if (flags < 0 || ::fstat(place.descriptor, &status) != 0) refuse_errno(place.named, EBADF);
  if ((flags & O_PATH) != 0) refuse(place.named, "it is closed", "name another output");
  if ((flags & O_ACCMODE) == O_RDONLY) refuse(place.named, "it is open for reading only", "name another output");
  return status;
}

std::optional<Status> status_of_input(const std::string& input) {
  if (input != "-") return status_of(input);
  Status status{};
  if (::fstat(STDIN_FILENO, &status) != 0) return std::nullopt;
  return status;
}

// Whether `folder` is `above` or lies in it, by the folders themselves: links and mounts do not matter.
bool lies_in(Path folder, const Status& above) {
  constexpr int deepest = 1000;
  auto status = status_of(folder);
  for (int depth = 0; status && depth < deepest; ++depth) {
    if (same_file(*status, above)) return true;
    folder /= "..";
    const auto next = status_of(folder);
    if (!next || same_file(*next, *status)) return false;  // the root
    status = next;
  }
  return false;
}

// Whether one of the folder's files is `file`, by a link from the one or the other.
bool holds(const Path& folder, const Status& file) {
  std::error_code error;
  std::filesystem::recursive_directory_iterator entry(
      folder, std::filesystem::directory_options::skip_permission_denied, error);
  constexpr int deepest = 2;  // of a model folder; a whole disk is not walked through
  for (; !error && entry != std::filesystem::recursive_directory_iterator(); entry.increment(error)) {
    if (entry.depth() >= deepest) entry.disable_recursion_pending();
    const auto status = status_of(entry->path());
    if (status && same_file(*status, file)) return true;
  }
  return false;
}

// The same by the names alone: neither need be there, nor the folder that it is to be in.
bool would_lie_in(const Path& path, const Path& above) {
  namespace stdfs = std::filesystem;
  std::error_code error;
  const Path inner = stdfs::weakly_canonical(stdfs::absolute(path, error), error);
  if (error) return false;
  const Path outer = stdfs::weakly_canonical(stdfs::absolute(above, error), error);
  return !error && std::mismatch(outer.begin(), outer.end(), inner.begin(), inner.end()).first == outer.end();
}

// The nearest folder above that is there.
Path existing_folder(const Path& path) {
  Path folder = folder_of(path);
  while (!status_of(folder) && folder.has_parent_path() && folder.parent_path() != folder)
    folder = folder.parent_path();
  return status_of(folder) ? folder : Path(".");
}

// The input that the output is, or that it lies in, and which of the two.
struct Clash {
  std::string what, input;
};

std::optional<Clash> find_clash(const OutputPlace& place, const std::optional<Status>& there,
                                const std::vector<std::string>& inputs) {
  // A terminal or /dev/null may be both; what is written into a file or a FIFO would be read again.
  const bool kept = there && (S_ISREG(there->st_mode) || S_ISFIFO(there->st_mode) || S_ISDIR(there->st_mode));
  for (const std::string& input : inputs) {
    const auto read = status_of_input(input);
    if (!read) {  // not there yet, and the output would make it
      if (there) continue;
      if (would_lie_in(place.file, input)) return Clash{"the output is an input, or lies in it", input};
      if (would_lie_in(input, place.file)) return Clash{"the output is a folder of an input", input};
      continue;
    }
    if (kept && same_file(*read, *there)) return Clash{"the output is an input", input};
    if (!S_ISDIR(read->st_mode)) continue;
    if (place.descriptor < 0 && !(there && S_ISCHR(there->st_mode)) && lies_in(existing_folder(place.file), *read))
      return Clash{"the output lies in a folder that is read", input};
    if (there && S_ISREG(there->st_mode) && holds(input, *there))
      return Clash{"the output is an input, a file of a folder that is read", input};
  }
  return std::nullopt;
}

void refuse_inputs(const OutputPlace& place, const std::optional<Status>& there,
                   const std::vector<std::string>& inputs) {
  const auto clash = find_clash(place, there, inputs);
  if (!clash) return;
  fail(ExitCode::recipe, {.what = clash->what,
                          .where = place.named,
                          .found = "input: " + (clash->input == "-" ? "standard input" : clash->input),
                          .advice = "name another output"});
}

// A file can be made in the folder, as far as can be seen without making one.
void require_folder(const OutputPlace& place, bool make_folder) {
  const Path folder = folder_of(place.file);
  const auto status = status_of(folder);
  if (!status && errno == ENOENT && !make_folder) {
    refuse(place.named, "its folder does not exist", "make it first: mkdir -p " + shell_word(folder.string()));
  }
  if (!status && errno != ENOENT) refuse_errno(place.named, errno);
  const Path made_in = status ? folder : existing_folder(place.file);
  if (!S_ISDIR(status_of(made_in).value_or(Status{}).st_mode)) refuse_errno(place.named, ENOTDIR);
  if (::faccessat(AT_FDCWD, made_in.c_str(), W_OK | X_OK, AT_EACCESS) != 0) refuse_errno(place.named, errno);
}

void require_name(const std::string& path) {
  if (path.empty()) fail(ExitCode::recipe, {.what = "the output has an empty name", .advice = "name a file, or -"});
  if (path.find('\0') != std::string::npos) fail(ExitCode::recipe, {.what = "the output's name holds a zero byte"});
}

std::string existing_file(const OutputPlace& place) {
  return place.file == place.named ? place.named : place.named + " (a link to " + place.file.string() + ")";
}

[[noreturn]] void refuse_existing(const OutputPlace& place) {
  refuse(existing_file(place), "the file exists already", "choose another name, or replace it with --overwrite");
}

// rename(2) asks for more than the right to write: nothing takes the place of a mount point, and in a folder with the
// sticky bit, as /tmp has it, only the owners of the folder and of what is there replace it.
void require_replaceable(const OutputPlace& place) {
  struct statx there {};
  if (::statx(AT_FDCWD, place.file.c_str(), 0, STATX_TYPE | STATX_UID, &there) != 0) return;
  if ((there.stx_attributes & STATX_ATTR_MOUNT_ROOT) != 0) {
    refuse(existing_file(place), "a mount point, which cannot be replaced",
           S_ISDIR(there.stx_mode) ? "name a folder in it" : "mount the folder that it lies in, not the file alone");
  }
  const auto folder = status_of(folder_of(place.file));
  const uid_t user = ::geteuid();
  if (folder && (folder->st_mode & S_ISVTX) != 0 && user != 0 && user != folder->st_uid && user != there.stx_uid) {
    refuse(existing_file(place), "only its owner may replace what is there: its folder has the sticky bit",
           "choose another name");
  }
}

void require_writable(const OutputPlace& place) {
  if (::faccessat(AT_FDCWD, place.file.c_str(), W_OK, AT_EACCESS) != 0)
    refuse(existing_file(place), "the file is write-protected", "choose another name, or change its permissions");
}

}  // namespace

OutputPlace find_output(const std::string& path, const OutputOptions& options) {
  require_name(path);
  OutputPlace place{.named = path == "-" ? "standard output" : path};
  if (path == "-")
    place.descriptor = STDOUT_FILENO;
  else
    follow(place);
  const std::optional<Status> there = status_at(place);
  refuse_inputs(place, there, options.inputs);
  place.through = place.descriptor >= 0;
  if (place.through) return place;
  if (!there) {
    if (!place.file.has_filename()) refuse(path, "a folder where a file is expected", "name a file in it");
    require_folder(place, options.make_folder);
    return place;
  }
  place.through = S_ISCHR(there->st_mode) || S_ISFIFO(there->st_mode);
  if (S_ISDIR(there->st_mode)) refuse(path, "a folder where a file is expected", "name a file in it");
  if (S_ISBLK(there->st_mode)) refuse(path, "a disk where a file is expected", "name a file");
  if (S_ISSOCK(there->st_mode)) refuse(path, "a socket where a file is expected", "name a file");
  if (place.through) return place;
  place.exists = true;
  require_folder(place, false);
  return place;
}

OutputPlace check_output(const std::string& path, const OutputOptions& options) {
  OutputPlace place = find_output(path, options);
  if (place.exists) require_replaceable(place);
  if (place.exists && !options.overwrite) refuse_existing(place);
  if (place.exists) require_writable(place);
  return place;
}

void refuse_input_as_output(const std::string& path, const std::vector<std::string>& inputs) {
  OutputPlace place{.named = path};
  follow(place);
  refuse_inputs(place, status_of(place.file), inputs);
}

bool is_read(const Path& file, const std::vector<std::string>& inputs) {
  const OutputPlace place{.named = file.string(), .file = file};
  return find_clash(place, status_of(file), inputs).has_value();
}

Path check_output_folder(const std::string& path, const OutputOptions& options) {
  require_name(path);
  std::string named = path;
  while (named.size() > 1 && named.ends_with('/')) named.pop_back();
  OutputPlace place{.named = named};
  if (path == "-")
    place.descriptor = STDOUT_FILENO;
  else
    follow(place);
  const std::optional<Status> there = place.descriptor >= 0 ? std::nullopt : status_at(place);
  refuse_inputs(place, there, options.inputs);
  if (place.descriptor >= 0 || (there && !S_ISDIR(there->st_mode) && !S_ISREG(there->st_mode)))
    refuse(path, "no folder can be made here: something else is in the way", "choose another name");
  const bool folder = there && S_ISDIR(there->st_mode);
  if (folder && ::faccessat(AT_FDCWD, place.file.c_str(), R_OK, AT_EACCESS) != 0) refuse_errno(path, errno);
  if (folder && !is_missing_or_empty_directory(place.file))
    refuse(path, "the output folder is not empty", "choose another, or remove what is in it");
  if (const Path last = place.file.lexically_normal().filename(); last == "." || last == "..")
    refuse(path, "a folder cannot be replaced under this name", "name a folder in it");
  if (there) require_replaceable(place);
  if (there && S_ISREG(there->st_mode)) {
    if (!options.overwrite) refuse_existing(place);
    require_writable(place);
  }
  require_folder(place, true);
  return place.file;
}

void publish_output(OutputFile& file, const Path& to, bool overwrite) {
  file.sync();
  struct stat there {};
  if (::lstat(to.c_str(), &there) != 0) return publish_new(file.path(), to);
  if (!overwrite || !S_ISREG(there.st_mode)) {
    refuse(to.string(), "what appeared there meanwhile is not replaced",
           S_ISREG(there.st_mode) ? "give the same command again with --overwrite, which replaces it"
                                  : "take it elsewhere, and give the same command again");
  }
  // Permissions stay, and the owner where we may give a file away.
  [[maybe_unused]] const int given = ::fchown(file.descriptor(), there.st_uid, there.st_gid);
  if (::fchmod(file.descriptor(), there.st_mode & 0777) != 0) fail_file("change the mode", to, errno);
  publish(file.path(), to);
}

OutputFile open_through(const OutputPlace& place) {
  if (place.descriptor < 0) return OutputFile(place.file, OutputFile::Mode::through);
  const int copy = ::fcntl(place.descriptor, F_DUPFD_CLOEXEC, 0);
  if (copy < 0) fail_file("open", place.named, errno);
  return OutputFile(place.named, copy);
}

Output::Output(const std::string& path, const OutputOptions& options)
    : place_(check_output(path, options)), overwrite_(options.overwrite) {
  if (!place_.through && options.make_folder && place_.file.has_parent_path())
    make_directory(place_.file.parent_path());
  file_ = place_.through ? open_through(place_) : create_temporary(place_.file);
}

Output::Output(Output&& other) noexcept
    : place_(std::move(other.place_)), overwrite_(other.overwrite_), file_(std::exchange(other.file_, std::nullopt)) {}

Output::~Output() {
  if (!file_ || place_.through) return;
  ::unlink(file_->path().c_str());
  forget_at_signal(file_->path());
}

void Output::write(std::string_view bytes) { file_->write(bytes); }

void Output::finish() {
  if (!place_.through) {
    publish_output(*file_, place_.file, overwrite_);
    forget_at_signal(file_->path());
  }
  file_.reset();
}

}  // namespace steerlm
