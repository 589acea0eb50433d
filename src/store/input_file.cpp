#include "store/input_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <utility>

#include "steerlm/core/error.h"
#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

[[noreturn]] void unreadable(const Path& path, const std::string& what, int error) {
  fail(code_of_open(error, ExitCode::model),
       {.what = "cannot read " + what + ": " + (error != 0 ? std::strerror(error) : "the file has become shorter"),
        .where = path.string(),
        .advice = advice_of_open(error)});
}

}  // namespace

InputFile::InputFile(const Path& path, const std::string& kind) : path_(path) {
  descriptor_ = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not hang
  if (descriptor_ < 0) unreadable(path, "the weights", errno);
  try {
    struct stat status {};
    if (::fstat(descriptor_, &status) != 0) unreadable(path, "the weights", errno);
    if (!S_ISREG(status.st_mode))
      fail(ExitCode::model, {.what = "not a file", .where = path.string(), .expected = kind});
    size_ = static_cast<std::uint64_t>(status.st_size);
    std::string first(std::min<std::uint64_t>(size_, 64), '\0');
    read(first.data(), first.size(), 0, "the weights");
    if (first.starts_with("version https://git-lfs")) {
      fail(ExitCode::model, {.what = "a Git LFS pointer instead of the weights",
                             .where = path.string(),
                             .advice = "run 'git lfs pull' in the folder that it was cloned into"});
    }
  } catch (...) {
    ::close(descriptor_);
    throw;
  }
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)), size_(other.size_) {}

InputFile::~InputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void InputFile::read(char* target, std::uint64_t count, std::uint64_t offset, const std::string& what) const {
  while (count > 0) {
    errno = 0;
    const ssize_t got = ::pread(descriptor_, target, count, static_cast<off_t>(offset));
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) unreadable(path_, what, errno);
    target += got;
    count -= static_cast<std::uint64_t>(got);
    offset += static_cast<std::uint64_t>(got);
  }
}

}  // namespace steerlm
