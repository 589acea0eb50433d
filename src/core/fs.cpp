#include "steerlm/core/fs.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <optional>
#include <utility>

#include "core/end_signals.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"

namespace steerlm {
namespace {

std::function<int(std::string_view, const Path&)> fs_fault;

// 0, or the errno that a test wants this operation to fail with.
int injected(std::string_view operation, const Path& path) { return fs_fault ? fs_fault(operation, path) : 0; }

// Two links of one file for a moment, so that there is never a moment without a name; a file system without hard links
// gets an empty file that is ours, and the rename replaces that.
void rename_where_nothing_is(const Path& from, const Path& to) {
  int error = injected("link", to);
  if (error == 0 && ::link(from.c_str(), to.c_str()) == 0) {
    ::unlink(from.c_str());
    return;
  }
  if (error == 0) error = errno;
  if (error == EEXIST) fail_file("rename", to, error);
  const OutputFile claim(to, OutputFile::Mode::create_new);
  if (::rename(from.c_str(), to.c_str()) != 0) {
    error = errno;
    ::unlink(to.c_str());
    fail_file("rename", to, error);
  }
}

bool is_temporary_of(const std::string& entry, const std::string& name) {
  constexpr std::string_view end = ".part";
  if (!entry.starts_with(name + ".") || !entry.ends_with(end) || entry.size() <= name.size() + 1 + end.size())
    return false;
  const std::string number = entry.substr(name.size() + 1, entry.size() - name.size() - 1 - end.size());
  const size_t dash = number.find('-');
  return dash != std::string::npos && dash > 0 && dash + 1 < number.size() &&
         number.find_first_not_of("0123456789-") == std::string::npos;
}

// Names have bytes, not characters. One that the user gave may be shorter: what is written beside an output has an
// ending.
std::string advice_of_long_name(const Path& path) {
  const size_t bytes = path.filename().native().size();
  std::string advice = "choose a shorter name";
  if (bytes <= NAME_MAX) return advice;
  return advice + ": this one has " + std::to_string(bytes) + " bytes, and " + std::to_string(NAME_MAX) +
         " are the most";
}

// NAME, cut where NAME.PID-N.part would be longer than a name may be: between characters, as some file systems ask.
std::string temporary_stem(const Path& path) {
  constexpr size_t longest = 255 - sizeof(".1234567890-1234567890.part");
  std::string name = path.filename().string();
  if (name.size() <= longest) return name;
  size_t end = longest;
  while (end > 0 && (static_cast<unsigned char>(name[end]) & 0xC0) == 0x80) --end;
  return name.substr(0, end);
}

// Calls make(path) with names beside `path`, until there is one that nothing had.
template <class Make>
void make_temporary(const Path& path, Make make) {
  static std::atomic<std::uint64_t> counter{0};
  const std::string start = temporary_stem(path) + "." + std::to_string(::getpid()) + "-";
  while (!make(path.parent_path() / (start + std::to_string(counter++) + ".part"))) {
  }
}

Path create_temporary_directory(const Path& path) {
  Path made;
  make_temporary(path, [&](const Path& part) {
    if (int error = injected("mkdir", part)) fail_file("make the folder", part, error);
    struct stat there {};
    if (::lstat(part.c_str(), &there) == 0) return false;
    made = part;
    remove_at_signal(part);  // before it is there, as with a file
    if (::mkdir(part.c_str(), 0777) == 0) return true;
    const int failed = errno;
    forget_at_signal(part);
    if (failed != EEXIST) fail_file("make the folder", part, failed);
    return false;
  });
  return made;
}

}  // namespace

void fail_file(std::string_view operation, const Path& path, int error) {
  std::string advice;
  if (error == ENOSPC || error == EDQUOT) advice = "free some space and start again; what was saved before is whole";
  if (error == EFBIG) advice = "the file size limit (ulimit -f) is too small";
  if (error == EACCES || error == EPERM || error == EROFS) advice = "choose a folder that you may write to";
  if (error == ENAMETOOLONG) advice = advice_of_long_name(path);
  if (error == ENOENT) advice = "a folder of its path is gone";
  if (error == ENOTDIR) advice = "a part of the path is no folder; choose another place";
  if (error == EBUSY) advice = "something is mounted there, or it is a folder in use; choose another name";
  if (error == EEXIST || error == ENOTEMPTY) advice = "what is there meanwhile is not replaced";
  if (error == EPIPE) advice = "whoever read from it has gone";
  if (error == ENOLCK) advice = "choose a folder on a file system that has locks (flock)";
  if (advice.empty()) advice = advice_of_open(error);
  fail(ExitCode::resources, {.what = "cannot " + std::string(operation) + ": " + std::strerror(error),
                             .where = path.string(),
                             .advice = advice});
}

void set_fs_fault(std::function<int(std::string_view, const Path&)> fault) { fs_fault = std::move(fault); }

bool is_endless(int descriptor) {
  struct stat status {};
  if (::fstat(descriptor, &status) != 0) return false;
  const bool null = status.st_rdev == makedev(1, 3);
  return S_ISBLK(status.st_mode) || (S_ISCHR(status.st_mode) && !null && ::isatty(descriptor) == 0);
}

std::string read_file(const Path& path, ExitCode missing, std::string_view what) {
  // A recipe may come through a pipe (a shell's <(…)). Anywhere else a pipe would be waited for without an end.
  const bool pipe_is_right = missing == ExitCode::recipe;
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  const int error = descriptor < 0 ? errno : 0;
  const auto give_up = [&](const std::string& reason) {
    if (descriptor >= 0) ::close(descriptor);
    fail(code_of_open(error, missing), {.what = "cannot read " + std::string(what) + ": " + reason,
                                        .where = path.string(),
                                        .advice = advice_of_open(error)});
  };
  if (descriptor < 0) give_up(std::strerror(error));
  if (is_endless(descriptor)) give_up("it is a device");
  std::string bytes;
  struct stat status {};
  const bool pipe = ::fstat(descriptor, &status) == 0 && S_ISFIFO(status.st_mode);
  if (pipe && !pipe_is_right) give_up("it is a pipe, where a file is expected");
  if (pipe) ::fcntl(descriptor, F_SETFL, O_RDONLY);  // open(2) would have waited for a writer, deaf to signals
  if (S_ISREG(status.st_mode)) bytes.reserve(static_cast<size_t>(status.st_size));
  char buffer[1 << 16];
  for (;;) {
    if (pipe) wait_to_read(descriptor, path.string());
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) give_up(std::strerror(errno));
    if (count == 0) break;
    bytes.append(buffer, static_cast<size_t>(count));
  }
  ::close(descriptor);
  return bytes;
}

bool read_standard_input(std::string& bytes, ExitCode code) {
  char buffer[1 << 16];
  for (;;) {
    wait_to_read(STDIN_FILENO, "standard input");
    const ssize_t count = ::read(STDIN_FILENO, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0)
      fail(code, {.what = std::string("cannot read: ") + std::strerror(errno),
                  .where = "standard input",
                  .advice = "redirect it from a file, or write into it through a pipe"});
    bytes.append(buffer, static_cast<size_t>(count));
    return count > 0;
  }
}

OutputFile create_temporary(const Path& path) {
  remove_dead_temporaries(path);
  std::optional<OutputFile> file;
  make_temporary(path, [&](const Path& part) {
    if (int error = injected("open", part)) fail_file("open", part, error);
    struct stat there {};
    if (::lstat(part.c_str(), &there) == 0) return false;
    remove_at_signal(part);  // before it is there, so that no signal finds a file that nobody removes
    const int descriptor = ::open(part.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    const int failed = descriptor < 0 ? errno : 0;
    if (failed != 0) forget_at_signal(part);
    if (failed != 0 && failed != EEXIST) fail_file("open", part, failed);
    if (descriptor < 0) return false;
    file.emplace(part, descriptor);
    ::flock(descriptor, LOCK_EX | LOCK_NB);  // where there are no locks, nobody takes the file for a dead process's
    return true;
  });
  return std::move(*file);
}

std::vector<Path> temporaries_of(const Path& path) {
  std::vector<Path> found;
  std::error_code error;
  const Path folder = path.parent_path().empty() ? Path(".") : path.parent_path();
  std::filesystem::directory_iterator entry(folder, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    if (is_temporary_of(entry->path().filename().string(), temporary_stem(path))) found.push_back(entry->path());
  }
  return found;
}

void remove_dead_temporaries(const Path& path) {
  for (const Path& temporary : temporaries_of(path)) {
    struct stat status {};
    if (::lstat(temporary.c_str(), &status) != 0 || !S_ISREG(status.st_mode)) continue;
    const std::string number = temporary.filename().string().substr(temporary_stem(path).size() + 1);
    pid_t process = 0;
    const auto [end, error] = std::from_chars(number.data(), number.data() + number.size(), process);
    if (error != std::errc() || process <= 0 || ::kill(process, 0) == 0 || errno != ESRCH) continue;
    const int descriptor = ::open(temporary.c_str(), O_WRONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
    if (descriptor < 0) continue;
    if (::flock(descriptor, LOCK_EX | LOCK_NB) == 0) ::unlink(temporary.c_str());
    ::close(descriptor);
  }
}

TemporaryFile::~TemporaryFile() {
  if (kept_) return;
  ::unlink(path().c_str());
  forget_at_signal(path());
}

void TemporaryFile::keep() {
  kept_ = true;
  forget_at_signal(path());
}

void sync_folder(const Path& folder) {
  const Path place = folder.empty() ? Path(".") : folder;
  if (int error = injected("fsync", place)) fail_file("fsync", place, error);
  const int descriptor = ::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0 && errno == EACCES) return;  // a folder that may be written to and not read
  if (descriptor < 0) fail_file("open", place, errno);
  const int failed = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  if (failed != 0 && failed != EINVAL) fail_file("fsync", place, failed);  // EINVAL: the file system cannot
}

void write_file_atomic(const Path& path, std::string_view bytes) {
  TemporaryFile temporary(path);
  temporary.file().write(bytes);
  temporary.file().sync();
  publish(temporary.path(), path);
  temporary.keep();
}

void make_directory(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail_file("make the folder", path, error.value());
  if (!std::filesystem::is_directory(path, error)) fail_file("make the folder", path, ENOTDIR);
  if (::access(path.c_str(), W_OK) != 0) fail_file("write to the folder", path, errno);
}

void publish(const Path& from, const Path& to) {
  if (int error = injected("rename", to)) fail_file("rename", to, error);
  if (::rename(from.c_str(), to.c_str()) != 0) fail_file("rename", to, errno);
  sync_folder(to.parent_path());
}

void publish_new(const Path& from, const Path& to) {
  int error = injected("rename", to);
  if (error == 0 && ::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) != 0) error = errno;
  if (error == EINVAL || error == ENOSYS)  // the file system has no such rename
    rename_where_nothing_is(from, to);
  else if (error != 0)
    fail_file("rename", to, error);
  sync_folder(to.parent_path());
}

void write_directory_atomic(const Path& path, const std::function<void(const Path&)>& fill) {
  Path target = path.lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // a trailing slash
  if (!is_missing_or_empty_directory(target)) {
    fail(ExitCode::resources, {.what = "a folder that is not empty, or a file, is in the way",
                               .where = target.string(),
                               .advice = "choose another place, or take it elsewhere"});
  }
  if (target.has_parent_path()) make_directory(target.parent_path());
  const Path part = create_temporary_directory(target);
  try {
    struct stat status {};
    if (::stat(target.c_str(), &status) == 0) ::chmod(part.c_str(), status.st_mode & 07777);
    fill(part);
    sync_folder(part);
    publish(part, target);
  } catch (...) {
    std::error_code ignored;  // the first failure is the one to tell
    std::filesystem::remove_all(part, ignored);
    forget_at_signal(part);
    throw;
  }
  forget_at_signal(part);
}

void replace_file_by_folder(const Path& file, const Path& folder) {
  int error = injected("rename", file);
  if (error == 0 && ::renameat2(AT_FDCWD, folder.c_str(), AT_FDCWD, file.c_str(), RENAME_EXCHANGE) == 0) {
    remove_file(folder);  // which is the file's name now
    return sync_folder(file.parent_path());
  }
  if (error == 0) error = errno;
  if (error != EINVAL && error != ENOSYS) fail_file("rename", file, error);
  // The file system has no exchange: for a moment the file has another name, and goes back where the rename fails.
  Path aside = folder;
  aside += ".old";
  publish_new(file, aside);
  if (::rename(folder.c_str(), file.c_str()) != 0) {
    error = errno;
    publish_new(aside, file);
    fail_file("rename", file, error);
  }
  remove_file(aside);
  sync_folder(file.parent_path());
}

void remove_file(const Path& path) {
  if (::unlink(path.c_str()) != 0 && errno != ENOENT) fail_file("remove", path, errno);
}

void remove_all(const Path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail_file("remove", path, error.value());
}

bool is_missing_or_empty_directory(const Path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return true;
  return std::filesystem::is_directory(path, error) && std::filesystem::is_empty(path, error);
}

OutputFile::OutputFile(const Path& path, Mode mode) : path_(path) {
  if (int error = injected("open", path)) fail_file("open", path, error);
  int flags = O_WRONLY | O_CLOEXEC;
  if (mode == Mode::create) flags |= O_CREAT | O_TRUNC;
  if (mode == Mode::create_new) flags |= O_CREAT | O_EXCL;
  if (mode == Mode::append) flags |= O_CREAT | O_APPEND;
  // A named pipe without a reader would be waited for in open(2), which a signal does not end.
  if (mode == Mode::through) flags |= O_NOCTTY | O_NONBLOCK;
  while ((descriptor_ = ::open(path.c_str(), flags, 0666)) < 0) {
    const int error = errno;
    std::error_code missing;
    if (error != ENXIO || mode != Mode::through || !std::filesystem::is_fifo(path, missing))
      fail_file("open", path, error);
    end_waiting_at_stop("a reader of the pipe " + path.string());
    ::poll(nullptr, 0, 50);
  }
  struct stat status {};
  if (::fstat(descriptor_, &status) == 0) size_ = status.st_size;
}

OutputFile::OutputFile(const Path& name, int descriptor) : path_(name), descriptor_(descriptor) {}

OutputFile::OutputFile(OutputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

OutputFile& OutputFile::operator=(OutputFile&& other) noexcept {
  std::swap(path_, other.path_);
  std::swap(descriptor_, other.descriptor_);
  std::swap(size_, other.size_);
  return *this;
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(std::string_view bytes) {
  if (int error = injected("write", path_)) {
    // A real disk fills up in the middle of a write: half of it arrives.
    [[maybe_unused]] const ssize_t half = ::write(descriptor_, bytes.data(), bytes.size() / 2);
    fail_file("write", path_, error);
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) {  // a pipe; one that whoever started us made non-blocking, too
      pollfd ready{descriptor_, POLLOUT, 0};
      if (::poll(&ready, 1, 1000) == 0) end_waiting_at_stop("the reader of " + path_.string());
      continue;
    }
    if (count < 0) fail_file("write", path_, errno);
    done += static_cast<size_t>(count);
  }
  size_ += static_cast<std::int64_t>(bytes.size());
}

void OutputFile::sync() {
  if (int error = injected("fsync", path_)) fail_file("fsync", path_, error);
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) fail_file("fsync", path_, errno);
}

void OutputFile::truncate(std::int64_t size) {
  if (::ftruncate(descriptor_, size) != 0) fail_file("truncate", path_, errno);
  size_ = size;
}

}  // namespace steerlm
