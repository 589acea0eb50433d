#include "steerlm/core/fs.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

namespace steerlm {
namespace {

std::function<int(std::string_view, const Path&)> fs_fault;

[[noreturn]] void fail_write(std::string_view operation, const Path& path, int error) {
  std::string advice;
  if (error == ENOSPC || error == EDQUOT) advice = "free some space and start again; what was saved before is whole";
  if (error == EFBIG) advice = "the file size limit (ulimit -f) is too small";
  if (error == EACCES || error == EPERM || error == EROFS) advice = "choose a folder that you may write to";
  fail(ExitCode::resources, {.what = "cannot " + std::string(operation) + ": " + std::strerror(error),
                             .where = path.string(),
                             .advice = advice});
}

// 0, or the errno that a test wants this operation to fail with.
int injected(std::string_view operation, const Path& path) { return fs_fault ? fs_fault(operation, path) : 0; }

void sync_directory(const Path& directory) {
  const Path place = directory.empty() ? Path(".") : directory;
  if (int error = injected("fsync", place)) fail_write("fsync", place, error);
  const int descriptor = ::open(place.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (descriptor < 0) fail_write("open", place, errno);
  const int failed = ::fsync(descriptor) != 0 ? errno : 0;
  ::close(descriptor);
  if (failed != 0 && failed != EINVAL) fail_write("fsync", place, failed);  // EINVAL: the file system cannot
}

}  // namespace

void set_fs_fault(std::function<int(std::string_view, const Path&)> fault) { fs_fault = std::move(fault); }

std::string read_file(const Path& path, ExitCode missing, std::string_view what) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  const auto give_up = [&](int error) {
    if (descriptor >= 0) ::close(descriptor);
    fail(missing, {.what = "cannot read " + std::string(what) + ": " + std::strerror(error), .where = path.string()});
  };
  if (descriptor < 0) give_up(errno);
  std::string bytes;
  struct stat status {};
  if (::fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode)) bytes.reserve(static_cast<size_t>(status.st_size));
  char buffer[1 << 16];
  for (;;) {
    const ssize_t count = ::read(descriptor, buffer, sizeof buffer);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) give_up(errno);
    if (count == 0) break;
    bytes.append(buffer, static_cast<size_t>(count));
  }
  ::close(descriptor);
  return bytes;
}

void write_file_atomic(const Path& path, std::string_view bytes) {
  Path part = path;
  part += ".part";
  try {
    OutputFile file(part, OutputFile::Mode::create);
    file.write(bytes);
    file.sync();
  } catch (...) {
    ::unlink(part.c_str());
    throw;
  }
  publish(part, path);
}

void make_directory(const Path& path) {
  std::error_code error;
  std::filesystem::create_directories(path, error);
  if (error) fail_write("make the folder", path, error.value());
  if (!std::filesystem::is_directory(path, error)) fail_write("make the folder", path, ENOTDIR);
  if (::access(path.c_str(), W_OK) != 0) fail_write("write to the folder", path, errno);
}

void publish(const Path& from, const Path& to) {
  if (int error = injected("rename", to)) fail_write("rename", to, error);
  if (::rename(from.c_str(), to.c_str()) != 0) fail_write("rename", to, errno);
  sync_directory(to.parent_path());
}

void publish_directory(const Path& from, const Path& to) {
  if (is_missing_or_empty_directory(to)) return publish(from, to);
  if (int error = injected("rename", to)) fail_write("rename", to, error);
  if (::renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_EXCHANGE) == 0) {
    sync_directory(to.parent_path());
    return steerlm::remove_all(from);
  }
  if (errno != EINVAL && errno != ENOSYS) fail_write("rename", to, errno);
  Path old = to;
  old += ".old";
  steerlm::remove_all(old);
  publish(to, old);
  try {
    publish(from, to);
  } catch (...) {
    ::rename(old.c_str(), to.c_str());
    throw;
  }
  steerlm::remove_all(old);
}

void write_directory_atomic(const Path& path, const std::function<void(const Path&)>& fill) {
  Path target = path.lexically_normal();
  if (!target.has_filename()) target = target.parent_path();  // a trailing slash
  Path part = target;
  part += ".part";
  steerlm::remove_all(part);
  make_directory(part);
  try {
    fill(part);
    sync_directory(part);
    publish_directory(part, target);
  } catch (...) {
    std::error_code ignored;  // the first failure is the one to tell
    std::filesystem::remove_all(part, ignored);
    throw;
  }
}

void remove_all(const Path& path) {
  std::error_code error;
  std::filesystem::remove_all(path, error);
  if (error) fail_write("remove", path, error.value());
}

bool is_missing_or_empty_directory(const Path& path) {
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return true;
  return std::filesystem::is_directory(path, error) && std::filesystem::is_empty(path, error);
}

OutputFile::OutputFile(const Path& path, Mode mode) : path_(path) {
  if (int error = injected("open", path)) fail_write("open", path, error);
  const int flags = O_WRONLY | O_CREAT | O_CLOEXEC | (mode == Mode::create ? O_TRUNC : O_APPEND);
  descriptor_ = ::open(path.c_str(), flags, 0644);
  if (descriptor_ < 0) fail_write("open", path, errno);
  struct stat status {};
  if (::fstat(descriptor_, &status) == 0) size_ = status.st_size;
}

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
    fail_write("write", path_, error);
  }
  size_t done = 0;
  while (done < bytes.size()) {
    const ssize_t count = ::write(descriptor_, bytes.data() + done, bytes.size() - done);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) fail_write("write", path_, errno);
    done += static_cast<size_t>(count);
  }
  size_ += static_cast<std::int64_t>(bytes.size());
}

void OutputFile::sync() {
  if (int error = injected("fsync", path_)) fail_write("fsync", path_, error);
  if (::fsync(descriptor_) != 0 && errno != EINVAL && errno != EROFS) fail_write("fsync", path_, errno);
}

void OutputFile::truncate(std::int64_t size) {
  if (::ftruncate(descriptor_, size) != 0) fail_write("truncate", path_, errno);
  size_ = size;
}

}  // namespace steerlm
