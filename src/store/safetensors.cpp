#include "steerlm/store/safetensors.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/isinf.h>
#include <ATen/ops/sum.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <stdexcept>

#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"
#include "store/input_file.h"

namespace steerlm {
namespace {

// The dtypes that ATen can hold and that a checkpoint or a model may have.
constexpr std::array<std::pair<std::string_view, at::ScalarType>, 9> dtypes{{{"F64", at::kDouble},
                                                                             {"F32", at::kFloat},
                                                                             {"F16", at::kHalf},
                                                                             {"BF16", at::kBFloat16},
                                                                             {"I64", at::kLong},
                                                                             {"I32", at::kInt},
                                                                             {"I16", at::kShort},
                                                                             {"I8", at::kChar},
                                                                             {"U8", at::kByte}}};

std::string dtype_name(at::ScalarType wanted, const std::string& name) {
  for (const auto& [text, type] : dtypes) {
    if (type == wanted) return std::string(text);
  }
  throw std::logic_error("no safetensors dtype for tensor " + name);
}

using Write = std::function<void(std::string_view)>;

std::string_view bytes_of(const at::Tensor& tensor) {
  return {static_cast<const char*>(tensor.data_ptr()), static_cast<size_t>(tensor.nbytes())};
}

// In another dtype a piece at a time: what is needed beside the tensor is small.
void write_tensor(const TensorSource::Entry& entry, const at::Tensor& given, const Path& path, const Write& write) {
  constexpr std::int64_t piece = 1 << 21;  // elements
  if (given.sizes() != at::IntArrayRef(entry.shape))
    throw std::logic_error("write_safetensors: " + entry.name + " has another shape than announced");
  const at::Tensor tensor = given.to(at::kCPU).contiguous();
  if (tensor.scalar_type() == entry.dtype) return write(bytes_of(tensor));
  const at::Tensor flat = tensor.view({-1});
  const auto count_infinite = [](const at::Tensor& x) { return at::sum(at::isinf(x)).item<std::int64_t>(); };
  for (std::int64_t begin = 0; begin < flat.numel(); begin += piece) {
    const at::Tensor before = flat.narrow(0, begin, std::min(piece, flat.numel() - begin));
    const at::Tensor after = before.to(entry.dtype);
    const std::int64_t infinite = count_infinite(after);
    if (infinite > 0 && infinite != count_infinite(before)) {
      fail(ExitCode::model, {.what = "tensor '" + entry.name + "' holds a number that is infinite in " +
                                     dtype_name(entry.dtype, entry.name),
                             .where = path.string(),
                             .advice = "write it in a dtype of a wider range, bf16 or fp32"});
    }
    write(bytes_of(after));
  }
}

}  // namespace

SafetensorsFile SafetensorsFile::open(const Path& path) {
  SafetensorsFile result(std::make_unique<InputFile>(path, "a safetensors file"));
  const InputFile& file = *result.file_;
  std::string first(std::min<std::uint64_t>(file.size(), safetensors_length_bytes), '\0');
  file.read(first.data(), first.size(), 0, "the weights");
  const std::uint64_t length = safetensors_header_length(first, file.size(), path.string());
  std::string json(length, '\0');
  file.read(json.data(), length, safetensors_length_bytes, "the header");
  result.header_ = parse_safetensors_header(json, file.size() - safetensors_length_bytes - length, path.string());
  for (size_t i = 0; i < result.header_.tensors.size(); ++i) result.index_.emplace(result.header_.tensors[i].first, i);
  return result;
}

SafetensorsFile::SafetensorsFile(std::unique_ptr<InputFile> file) : file_(std::move(file)) {}
SafetensorsFile::SafetensorsFile(SafetensorsFile&& other) noexcept = default;
SafetensorsFile::~SafetensorsFile() = default;

const Path& SafetensorsFile::path() const { return file_->path(); }

std::vector<std::string> SafetensorsFile::names() const {
  std::vector<std::string> result;
  for (const auto& [name, info] : header_.tensors) result.push_back(name);
  return result;
}

const TensorInfo& SafetensorsFile::info(const std::string& name) const {
  const auto found = index_.find(name);
  if (found == index_.end()) {
    const std::vector<std::string> own = names();
    fail(ExitCode::model,
         {.what = "no tensor '" + name + "'",
          .where = path().string(),
          .found = own.empty() ? "no tensor at all" : fmt::format("{} tensors, such as '{}'", own.size(), own.front()),
          .advice = "where the file has it under another name (a wrapper's prefix, say), rename the tensors"});
  }
  return header_.tensors[found->second].second;
}

at::ScalarType SafetensorsFile::dtype(const std::string& name) const {
  const TensorInfo& entry = info(name);
  const auto type =
      std::find_if(dtypes.begin(), dtypes.end(), [&](const auto& known) { return known.first == entry.dtype; });
  if (type != dtypes.end()) return type->second;
  fail(ExitCode::model, {.what = "tensor '" + name + "': dtype " + entry.dtype + " is not supported",
                         .where = path().string(),
                         .expected = "F32, BF16 or F16"});
}

at::Tensor SafetensorsFile::read(const std::string& name) const {
  const TensorInfo& entry = info(name);
  at::Tensor tensor = at::empty(entry.shape, at::TensorOptions().dtype(dtype(name)));
  file_->read(static_cast<char*>(tensor.data_ptr()), entry.end - entry.begin, header_.data_offset + entry.begin,
              "tensor '" + name + "'");
  return tensor;
}

std::uint64_t TensorSource::Entry::bytes() const {
  std::uint64_t count = c10::elementSize(dtype);
  for (const std::int64_t size : shape) count *= static_cast<std::uint64_t>(size);
  return count;
}

void TensorSource::set_floating_dtype(at::ScalarType dtype) {
  for (Entry& entry : entries) {
    if (c10::isFloatingType(entry.dtype)) entry.dtype = dtype;
  }
}

TensorSource in_memory(const NamedTensors& tensors) {
  TensorSource source;
  std::map<std::string, at::Tensor> by_name;
  for (const auto& [name, tensor] : tensors) {
    source.entries.push_back({name, tensor.sizes().vec(), tensor.scalar_type()});
    by_name.emplace(name, tensor);
  }
  source.read = [by_name = std::move(by_name)](const std::string& name) { return by_name.at(name); };
  return source;
}

WrittenFile write_safetensors(const Path& path, const TensorSource& tensors,
                              const std::map<std::string, std::string>& metadata) {
  std::vector<TensorSource::Entry> entries = tensors.entries;
  std::stable_sort(entries.begin(), entries.end(),
                   [](const auto& a, const auto& b) { return c10::elementSize(a.dtype) > c10::elementSize(b.dtype); });
  SafetensorsHeader header;
  header.metadata = metadata;
  std::uint64_t next = 0;
  for (const TensorSource::Entry& entry : entries) {
    const std::uint64_t end = next + entry.bytes();
    header.tensors.emplace_back(entry.name, TensorInfo{dtype_name(entry.dtype, entry.name), entry.shape, next, end});
    next = end;
  }

  OutputFile file(path, OutputFile::Mode::create);
  Sha256 hash;
  const auto write = [&](std::string_view bytes) {
    hash.update(bytes);
    file.write(bytes);
  };
  write(format_safetensors_header(header));
  for (const TensorSource::Entry& entry : entries) write_tensor(entry, tensors.read(entry.name), path, write);
  file.sync();
  return {file.size(), hash.hex()};
}

WrittenFile write_safetensors(const Path& path, const NamedTensors& tensors,
                              const std::map<std::string, std::string>& metadata) {
  return write_safetensors(path, in_memory(tensors), metadata);
}

}  // namespace steerlm
