#include "steerlm/store/gguf.h"

#include <ATen/ops/empty.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <optional>
#include <type_traits>

#include "steerlm/core/error.h"
#include "steerlm/core/utf8.h"
#include "store/ggml_blocks.h"
#include "store/input_file.h"

namespace steerlm {
namespace {

static_assert(std::endian::native == std::endian::little, "numbers are copied as they are");

constexpr std::uint64_t default_alignment = 32;
constexpr std::uint64_t max_alignment = 1 << 16;
constexpr std::uint64_t max_key_bytes = 65535;  // gguf.md
constexpr std::uint64_t max_name_bytes = 64;    // gguf.md
constexpr std::uint32_t max_dimensions = 4;     // gguf.md
constexpr std::uint64_t smallest_value = 14;    // a key of one byte: its length, itself, the type, a number of one byte
constexpr std::uint64_t smallest_tensor = 33;   // a name of one byte, one dimension, type, offset

// enum gguf_metadata_value_type
enum class ValueType : std::uint32_t { u8, i8, u16, i16, u32, i32, f32, boolean, string, array, u64, i64, f64 };

std::uint64_t bytes_of(ValueType type) {
  switch (type) {
    case ValueType::u8:
    case ValueType::i8:
    case ValueType::boolean:
      return 1;
    case ValueType::u16:
    case ValueType::i16:
      return 2;
    case ValueType::u32:
    case ValueType::i32:
    case ValueType::f32:
      return 4;
    case ValueType::u64:
    case ValueType::i64:
    case ValueType::f64:
      return 8;
    case ValueType::string:
      return 8;  // its length, at least
    case ValueType::array:
      break;
  }
  return 0;
}

// The header, front to back, a piece of the file at a time.
class HeaderReader {
 public:
  explicit HeaderReader(const InputFile& file) : file_(file) {}

  std::uint64_t at() const { return at_; }
  std::uint64_t rest() const { return file_.size() - at_; }

  [[noreturn]] void damaged(std::string what, std::string found = "", std::string expected = "",
                            std::string advice = "the file is damaged, cut off or no GGUF file; fetch it again") const {
    fail(ExitCode::model, {.what = std::move(what),
                           .where = file_.path().string(),
                           .found = std::move(found),
                           .expected = std::move(expected),
                           .advice = std::move(advice)});
  }

  template <class T>
  T number(const std::string& what) {
    T value;
    take(reinterpret_cast<char*>(&value), sizeof value, what);
    return value;
  }

  std::string text(std::uint64_t longest, const std::string& what) {
    const auto length = number<std::uint64_t>(what);
    require(length, 1, what);
    if (length > longest) {
      damaged(what + " is too long", std::to_string(length) + " bytes", "at most " + std::to_string(longest));
    }
    std::string bytes(length, '\0');
    take(bytes.data(), length, what);
    if (find_invalid_utf8(bytes)) damaged(what + " is not UTF-8");
    return bytes;
  }

  // Before anything is allocated: `count` elements of at least `bytes` bytes are left in the file, and in what a header
  // may have.
  void require(std::uint64_t count, std::uint64_t bytes, const std::string& what) const {
    if (count > rest() / bytes) {
      damaged(what + " reaches over the end of the file", std::to_string(count) + (bytes > 1 ? " elements" : " bytes"),
              "at most " + std::to_string(rest() / bytes));
    }
    if (at_ + count * bytes > max_gguf_header_bytes) {
      damaged(what + " makes the header too large", std::to_string(at_ + count * bytes) + " bytes",
              "at most " + std::to_string(max_gguf_header_bytes));
    }
  }

  void skip(std::uint64_t count, const std::string& what) {
    require(count, 1, what);
    at_ += count;
  }

  void take(char* target, std::uint64_t count, const std::string& what) {
    require(count, 1, what);
    while (count > 0) {
      if (at_ < piece_begin_ || at_ >= piece_begin_ + piece_.size()) fetch();
      const std::uint64_t from = at_ - piece_begin_;
      const std::uint64_t some = std::min<std::uint64_t>(count, piece_.size() - from);
      std::memcpy(target, piece_.data() + from, some);
      target += some;
      at_ += some;
      count -= some;
    }
  }

 private:
  void fetch() {
    constexpr std::uint64_t piece = 1 << 16;
    piece_.resize(std::min(piece, rest()));
    file_.read(piece_.data(), piece_.size(), at_, "the header");
    piece_begin_ = at_;
  }

  const InputFile& file_;
  std::uint64_t at_ = 0;
  std::string piece_;
  std::uint64_t piece_begin_ = 0;
};

ValueType read_type(HeaderReader& reader, const std::string& what) {
  const auto type = reader.number<std::uint32_t>(what);
  if (type > static_cast<std::uint32_t>(ValueType::f64))
    reader.damaged(what + " has a type that does not exist", std::to_string(type), "a number from 0 to 12");
  return static_cast<ValueType>(type);
}

template <class T>
std::vector<T> read_numbers(HeaderReader& reader, std::uint64_t count, const std::string& what) {
  std::vector<T> values(count);
  reader.take(reinterpret_cast<char*>(values.data()), count * sizeof(T), what);
  return values;
}

GgufValue read_array(HeaderReader& reader, const std::string& what) {
  const ValueType type = read_type(reader, what);
  const auto count = reader.number<std::uint64_t>(what);
  if (type == ValueType::array) reader.damaged(what + " is an array of arrays, which no model file has");
  reader.require(count, bytes_of(type), what);
  if (type == ValueType::i32) return read_numbers<std::int32_t>(reader, count, what);
  if (type == ValueType::f32) return read_numbers<float>(reader, count, what);
  if (type != ValueType::string) {
    reader.skip(count * bytes_of(type), what);
    return GgufSkippedArray{count};
  }
  std::vector<std::string> texts;
  texts.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i)
    texts.push_back(reader.text(max_gguf_header_bytes, what + ", element " + std::to_string(i)));
  return texts;
}

template <class Wide, class T>
GgufValue widened(HeaderReader& reader, const std::string& what) {
  return static_cast<Wide>(reader.number<T>(what));
}

GgufValue read_value(HeaderReader& reader, const std::string& what) {
  switch (read_type(reader, what)) {
    case ValueType::u8:
      return widened<std::uint64_t, std::uint8_t>(reader, what);
    case ValueType::i8:
      return widened<std::int64_t, std::int8_t>(reader, what);
    case ValueType::u16:
      return widened<std::uint64_t, std::uint16_t>(reader, what);
    case ValueType::i16:
      return widened<std::int64_t, std::int16_t>(reader, what);
    case ValueType::u32:
      return widened<std::uint64_t, std::uint32_t>(reader, what);
    case ValueType::i32:
      return widened<std::int64_t, std::int32_t>(reader, what);
    case ValueType::u64:
      return reader.number<std::uint64_t>(what);
    case ValueType::i64:
      return reader.number<std::int64_t>(what);
    case ValueType::f32:
      return reader.number<float>(what);
    case ValueType::f64:
      return reader.number<double>(what);
    case ValueType::boolean: {
      const auto value = reader.number<std::uint8_t>(what);
      if (value > 1) reader.damaged(what + " is neither true nor false", std::to_string(value), "0 or 1");
      return value == 1;
    }
    case ValueType::string:
      return reader.text(max_gguf_header_bytes, what);
    case ValueType::array:
      return read_array(reader, what);
  }
  return GgufValue();
}

struct Counts {
  std::uint64_t tensors = 0, values = 0;
};

Counts read_start(HeaderReader& reader) {
  constexpr std::uint32_t big_endian_2 = 0x02000000, big_endian_3 = 0x03000000;
  if (reader.rest() < 24)
    reader.damaged("too short for a GGUF file", std::to_string(reader.rest()) + " bytes", "more than 24");
  char magic[4];
  reader.take(magic, sizeof magic, "the start");
  if (std::memcmp(magic, "GGUF", sizeof magic) != 0)
    reader.damaged("not a GGUF file", "", "a file that begins with the letters GGUF", "name the .gguf file of a model");
  const auto version = reader.number<std::uint32_t>("the version");
  if (version == big_endian_2 || version == big_endian_3)
    reader.damaged("the file is for big-endian machines, and is not read", "", "a little-endian one",
                   "fetch the usual file of this model");
  if (version != 2 && version != 3)
    reader.damaged("this version of GGUF is not read", std::to_string(version), "2 or 3",
                   version == 1 ? "convert the model again with a newer llama.cpp" : "");
  Counts counts;
  counts.tensors = reader.number<std::uint64_t>("the number of tensors");
  counts.values = reader.number<std::uint64_t>("the number of keys");
  reader.require(counts.tensors, smallest_tensor, "the number of tensors");
  reader.require(counts.values, smallest_value, "the number of keys");
  return counts;
}

std::uint64_t read_alignment(const HeaderReader& reader, const GgufValue* value) {
  if (value == nullptr) return default_alignment;
  const auto* alignment = std::get_if<std::uint64_t>(value);
  if (alignment == nullptr || !std::has_single_bit(*alignment) || *alignment < 8 || *alignment > max_alignment) {
    reader.damaged("general.alignment is none", alignment ? std::to_string(*alignment) : "no unsigned integer",
                   "a power of two from 8 to " + std::to_string(max_alignment));
  }
  return *alignment;
}

// A name, a shape, a type; `offset` is still from the start of the tensors.
GgufTensor read_tensor(HeaderReader& reader, const std::string& place) {
  GgufTensor tensor{.name = reader.text(max_name_bytes, "the name of " + place)};
  if (tensor.name.empty()) reader.damaged("the name of " + place + " is empty");
  const std::string what = "tensor '" + tensor.name + "'";
  const auto dimensions = reader.number<std::uint32_t>(what);
  if (dimensions < 1 || dimensions > max_dimensions)
    reader.damaged(what + ": the number of dimensions", std::to_string(dimensions), "1 to 4");
  constexpr std::uint64_t most = std::numeric_limits<std::int64_t>::max();
  std::uint64_t numbers = 1;
  for (std::uint32_t i = 0; i < dimensions; ++i) {
    const auto size = reader.number<std::uint64_t>(what);
    if (size < 1 || size > most || numbers > most / size)
      reader.damaged(what + ": a dimension is 0, or the shape overflows", std::to_string(size));
    numbers *= size;
    tensor.shape.insert(tensor.shape.begin(), static_cast<std::int64_t>(size));
  }
  const auto type = reader.number<std::uint32_t>(what);
  const auto block = find_ggml_block(type);
  if (!block) {
    reader.damaged(what + ": its type is not read", ggml_type_name(type), read_ggml_types(),
                   "take the file of this model in one of these types");
  }
  tensor.type = block->type;
  const auto row = static_cast<std::uint64_t>(tensor.shape.back());
  if (row % block->numbers != 0) {
    reader.damaged(what + ": a row is no whole number of blocks", std::to_string(row) + " numbers",
                   "a multiple of " + std::to_string(block->numbers) + ", for " + std::string(block->name));
  }
  const std::uint64_t blocks = numbers / block->numbers;
  if (blocks > most / block->bytes) reader.damaged(what + ": its size overflows");
  tensor.bytes = blocks * block->bytes;
  tensor.offset = reader.number<std::uint64_t>(what);
  return tensor;
}

// Makes the offsets those in the file. `begin`: of the tensors.
void place_tensors(const HeaderReader& reader, std::uint64_t begin, std::uint64_t alignment, std::uint64_t file_size,
                   std::vector<GgufTensor>& tensors) {
  const std::uint64_t size = begin < file_size ? file_size - begin : 0;
  const auto aligned = [alignment](std::uint64_t at) { return (at + alignment - 1) / alignment * alignment; };
  std::vector<GgufTensor*> order;
  for (GgufTensor& tensor : tensors) order.push_back(&tensor);
  std::ranges::sort(order, {}, [](const GgufTensor* tensor) { return tensor->offset; });
  std::uint64_t end = 0;
  for (GgufTensor* tensor : order) {
    const std::string what = "tensor '" + tensor->name + "'";
    if (tensor->offset % alignment != 0) {
      reader.damaged(what + " does not begin at a multiple of the alignment", std::to_string(tensor->offset),
                     "a multiple of " + std::to_string(alignment));
    }
    if (tensor->offset != aligned(end)) {
      reader.damaged(what + (tensor->offset < end ? " overlaps the tensor before it" : ": a hole lies before it"),
                     "begin " + std::to_string(tensor->offset), std::to_string(aligned(end)));
    }
    if (tensor->offset > size || tensor->bytes > size - tensor->offset) {
      reader.damaged(what + " reaches over the end of the file: it is cut off",
                     std::to_string(size) + " bytes of tensors",
                     "at least " + std::to_string(tensor->bytes) + " from " + std::to_string(tensor->offset));
    }
    end = tensor->offset + tensor->bytes;
    tensor->offset += begin;
  }
  if (size > aligned(end))
    reader.damaged("bytes behind the last tensor", std::to_string(size) + " bytes of tensors",
                   "at most " + std::to_string(aligned(end)));
}

}  // namespace

GgufFile GgufFile::open(const Path& path) {
  GgufFile result(std::make_unique<InputFile>(path, "a GGUF file"));
  HeaderReader reader(*result.file_);
  const Counts counts = read_start(reader);
  for (std::uint64_t i = 0; i < counts.values; ++i) {
    std::string key = reader.text(max_key_bytes, "key " + std::to_string(i));
    if (key.empty() || key.find('\0') != std::string::npos)
      reader.damaged("key " + std::to_string(i) + " is empty or holds a NUL");
    if (!result.value_index_.emplace(key, i).second) reader.damaged("the key '" + key + "' is there twice");
    GgufValue value = read_value(reader, "the value of '" + key + "'");
    result.values_.emplace_back(std::move(key), std::move(value));
  }
  const std::uint64_t alignment = read_alignment(reader, result.find_value("general.alignment"));
  for (std::uint64_t i = 0; i < counts.tensors; ++i) {
    GgufTensor tensor = read_tensor(reader, "tensor " + std::to_string(i));
    if (!result.tensor_index_.emplace(tensor.name, i).second)
      reader.damaged("the tensor '" + tensor.name + "' is there twice");
    result.tensors_.push_back(std::move(tensor));
  }
  const std::uint64_t begin = (reader.at() + alignment - 1) / alignment * alignment;
  place_tensors(reader, begin, alignment, result.file_->size(), result.tensors_);
  return result;
}

GgufFile::GgufFile(std::unique_ptr<InputFile> file) : file_(std::move(file)) {}
GgufFile::GgufFile(GgufFile&& other) noexcept = default;
GgufFile::~GgufFile() = default;

const Path& GgufFile::path() const { return file_->path(); }

const GgufValue* GgufFile::find_value(const std::string& key) const {
  const auto found = value_index_.find(key);
  return found == value_index_.end() ? nullptr : &values_[found->second].second;
}

const GgufTensor* GgufFile::find_tensor(const std::string& name) const {
  const auto found = tensor_index_.find(name);
  return found == tensor_index_.end() ? nullptr : &tensors_[found->second];
}

at::Tensor GgufFile::read(const GgufTensor& tensor) const {
  const GgmlBlock& block = ggml_block(tensor.type);
  const std::uint64_t piece = (std::uint64_t{1} << 20) / block.bytes * block.bytes;
  at::Tensor result = at::empty(tensor.shape, at::TensorOptions().dtype(at::kFloat));
  float* out = result.mutable_data_ptr<float>();
  std::string bytes(std::min(piece, tensor.bytes), '\0');
  for (std::uint64_t begin = 0; begin < tensor.bytes; begin += piece) {
    const std::uint64_t size = std::min(piece, tensor.bytes - begin);
    file_->read(bytes.data(), size, tensor.offset + begin, "tensor '" + tensor.name + "'");
    const std::uint64_t blocks = size / block.bytes;
    dequantize(tensor.type, reinterpret_cast<const unsigned char*>(bytes.data()), blocks, out);
    out += blocks * block.numbers;
  }
  return result;
}

}  // namespace steerlm
