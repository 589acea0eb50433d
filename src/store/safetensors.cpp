#include "steerlm/store/safetensors.h"

#include <ATen/ops/empty.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <numeric>
#include <stdexcept>

#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

// The dtypes that ATen can hold and that a checkpoint or a model may have.
constexpr std::array<std::pair<std::string_view, at::ScalarType>, 9> dtypes{
    {{"F64", at::kDouble},
     {"F32", at::kFloat},
     {"F16", at::kHalf},
     {"BF16", at::kBFloat16},
     {"I64", at::kLong},
     {"I32", at::kInt},
     {"I16", at::kShort},
     {"I8", at::kChar},
     {"U8", at::kByte}}};

// Reads exactly `size` bytes; false at the end of the file, with errno 0, or when read fails.
bool read_fully(int descriptor, char* target, std::uint64_t size, std::uint64_t offset) {
  while (size > 0) {
    errno = 0;
    const ssize_t count = ::pread(descriptor, target, size, static_cast<off_t>(offset));
    if (count < 0 && errno == EINTR) continue;
    if (count <= 0) return false;
    target += count;
    size -= static_cast<std::uint64_t>(count);
    offset += static_cast<std::uint64_t>(count);
  }
  return true;
}

[[noreturn]] void unreadable(const Path& path, const std::string& what, int error) {
  fail(ExitCode::model,
       {.what = what + ": " + (error != 0 ? std::strerror(error) : "the file has become shorter"),
        .where = path.string()});
}

std::string dtype_name(at::ScalarType wanted, const std::string& name) {
  for (const auto& [text, type] : dtypes) {
    if (type == wanted) return std::string(text);
  }
  throw std::logic_error("no safetensors dtype for tensor " + name);
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const Path& path) {
  SafetensorsFile file;
  file.path_ = path;
  file.descriptor_ =
      ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK);  // a pipe must not hang
  if (file.descriptor_ < 0) unreadable(path, "cannot read the weights", errno);
  struct stat status {};
  if (::fstat(file.descriptor_, &status) != 0) unreadable(path, "cannot read the weights", errno);
  if (!S_ISREG(status.st_mode))
    fail(ExitCode::model,
         {.what = "not a file", .where = path.string(), .expected = "a safetensors file"});

  const auto size = static_cast<std::uint64_t>(status.st_size);
  std::string first(std::min<std::uint64_t>(size, 64), '\0');
  if (!read_fully(file.descriptor_, first.data(), first.size(), 0))
    unreadable(path, "cannot read the weights", errno);
  if (first.starts_with("version https://git-lfs")) {
    fail(ExitCode::model, {.what = "a Git LFS pointer instead of the weights",
                           .where = path.string(),
                           .advice = "run 'git lfs pull' in the folder that it was cloned into"});
  }
  first.resize(std::min<size_t>(first.size(), safetensors_length_bytes));
  const std::uint64_t length = safetensors_header_length(first, size, path.string());
  std::string json(length, '\0');
  if (!read_fully(file.descriptor_, json.data(), length, safetensors_length_bytes))
    unreadable(path, "cannot read the header", errno);
  file.header_ =
      parse_safetensors_header(json, size - safetensors_length_bytes - length, path.string());
  for (size_t i = 0; i < file.header_.tensors.size(); ++i)
    file.index_.emplace(file.header_.tensors[i].first, i);
  return file;
}

SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept
    : path_(std::move(other.path_)),
      descriptor_(std::exchange(other.descriptor_, -1)),
      header_(std::move(other.header_)),
      index_(std::move(other.index_)) {}

SafetensorsFile::~SafetensorsFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> result;
  for (const auto& [name, info] : header_.tensors) result.push_back(name);
  return result;
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end())
    fail(ExitCode::model, {.what = "no tensor '" + name + "'", .where = path_.string()});
  return header_.tensors[found->second].second;
}

at::Tensor SafetensorsFile::read(const std::string& name) const {
  const TensorInfo& entry = info(name);
  const auto type = std::find_if(dtypes.begin(), dtypes.end(),
                                 [&](const auto& known) { return known.first == entry.dtype; });
  if (type == dtypes.end()) {
    fail(ExitCode::model,
         {.what = "tensor '" + name + "': dtype " + entry.dtype + " is not supported",
          .where = path_.string(),
          .expected = "F32, BF16 or F16"});
  }
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(type->second));
  if (!read_fully(descriptor_, static_cast<char*>(tensor.data_ptr()), entry.end - entry.begin,
                  header_.data_offset + entry.begin)) {
    unreadable(path_, "cannot read tensor '" + name + "'", errno);
  }
  return tensor;
}

WrittenFile write_safetensors(const Path& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata,
                              std::optional<at::ScalarType> dtype) {
  const auto written_type = [&](const at::Tensor& tensor) {
    return dtype && tensor.is_floating_point() ? *dtype : tensor.scalar_type();
  };
  const auto width = [&](const at::Tensor& tensor) {
    return c10::elementSize(written_type(tensor));
  };
  std::vector<size_t> order(tensors.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return width(tensors[a].second) > width(tensors[b].second);
  });

  SafetensorsHeader header;
  header.metadata = metadata;
  std::uint64_t next = 0;
  for (const size_t i : order) {
    const auto& [name, tensor] = tensors[i];
    const std::uint64_t end = next + static_cast<std::uint64_t>(tensor.numel()) * width(tensor);
    header.tensors.emplace_back(
        name, TensorInfo{dtype_name(written_type(tensor), name), tensor.sizes().vec(), next, end});
    next = end;
  }

  OutputFile file(path, OutputFile::Mode::create);
  Sha256 hash;
  const auto write = [&](std::string_view bytes) {
    hash.update(bytes);
    file.write(bytes);
  };
  write(format_safetensors_header(header));
  for (const size_t i : order) {
    const at::Tensor tensor =
        tensors[i].second.to(at::kCPU, written_type(tensors[i].second)).contiguous();
    write({static_cast<const char*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())});
  }
  file.sync();
  return {file.size(), hash.hex()};
}

}  // namespace steerlm
