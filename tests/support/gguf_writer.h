// Writes GGUF files, sound ones and broken ones.
#pragma once

#include <cstdint>
#include <cstring>
#include <fstream>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

class GgufWriter {
 public:
  struct Tensor {
    std::string name;
    std::vector<std::uint64_t> sizes;  // as in the file, innermost first
    std::uint32_t type = 0;
    std::string bytes;
    std::int64_t shift = 0;  // added to the offset, which is wrong then
  };

  std::string magic = "GGUF";
  std::uint32_t version = 3;
  std::uint64_t alignment = 32;
  std::int64_t more_tensors = 0, more_keys = 0;  // that the counts claim
  std::vector<Tensor> tensors;
  std::string behind;  // bytes behind the last tensor

  template <class T>
  static std::string raw(const T& value) {
    std::string bytes(sizeof value, '\0');
    std::memcpy(bytes.data(), &value, sizeof value);
    return bytes;
  }
  static std::string text_bytes(const std::string& text) { return raw(std::uint64_t{text.size()}) + text; }
  template <class T>
  static std::string array_bytes(std::uint32_t type, const std::vector<T>& values) {
    std::string bytes = raw(type) + raw(std::uint64_t{values.size()});
    for (const T& value : values) bytes += raw(value);
    return bytes;
  }

  // A value of any type (enum gguf_metadata_value_type) as its bytes; a key that is there is replaced.
  GgufWriter& set(const std::string& key, std::uint32_t type, const std::string& bytes) {
    remove(key);
    return add(key, type, bytes);
  }
  GgufWriter& add(const std::string& key, std::uint32_t type, const std::string& bytes) {
    values_.push_back({key, raw(type) + bytes});
    return *this;
  }
  GgufWriter& remove(const std::string& key) {
    std::erase_if(values_, [&](const Value& value) { return value.key == key; });
    return *this;
  }
  GgufWriter& integer(const std::string& key, std::uint32_t value) { return set(key, 4, raw(value)); }
  GgufWriter& number(const std::string& key, float value) { return set(key, 6, raw(value)); }
  GgufWriter& flag(const std::string& key, bool value) { return set(key, 7, raw(value)); }
  GgufWriter& text(const std::string& key, const std::string& value) { return set(key, 8, text_bytes(value)); }
  GgufWriter& texts(const std::string& key, const std::vector<std::string>& values) {
    std::string bytes = raw(std::uint32_t{8}) + raw(std::uint64_t{values.size()});
    for (const std::string& value : values) bytes += text_bytes(value);
    return set(key, 9, bytes);
  }
  GgufWriter& integers(const std::string& key, const std::vector<std::int32_t>& values) {
    return set(key, 9, array_bytes(5, values));
  }
  GgufWriter& numbers(const std::string& key, const std::vector<float>& values) {
    return set(key, 9, array_bytes(6, values));
  }
  // F32, every number `value`.
  GgufWriter& tensor(const std::string& name, const std::vector<std::uint64_t>& sizes, float value) {
    std::uint64_t count = 1;
    for (const std::uint64_t size : sizes) count *= size;
    return tensor(name, sizes, std::vector<float>(count, value));
  }
  GgufWriter& tensor(const std::string& name, const std::vector<std::uint64_t>& sizes,
                     const std::vector<float>& values) {
    std::erase_if(tensors, [&](const Tensor& other) { return other.name == name; });
    std::string bytes;
    for (const float value : values) bytes += raw(value);
    tensors.push_back({name, sizes, 0, bytes});
    return *this;
  }

  std::string bytes() const {
    std::string header = magic + raw(version) + raw(tensors.size() + static_cast<std::uint64_t>(more_tensors)) +
                         raw(values_.size() + static_cast<std::uint64_t>(more_keys));
    for (const Value& value : values_) header += text_bytes(value.key) + value.bytes;
    std::string data;
    for (const Tensor& tensor : tensors) {
      pad(data);
      header += text_bytes(tensor.name) + raw(static_cast<std::uint32_t>(tensor.sizes.size()));
      for (const std::uint64_t size : tensor.sizes) header += raw(size);
      header += raw(tensor.type) + raw(data.size() + static_cast<std::uint64_t>(tensor.shift));
      data += tensor.bytes;
    }
    pad(header);
    return header + data + behind;
  }
  void write(const Path& path) const {
    std::filesystem::remove(path);  // some file systems write a truncated file to the disk at once
    std::ofstream(path, std::ios::binary) << bytes();
  }

 private:
  struct Value {
    std::string key, bytes;  // type and value
  };
  void pad(std::string& bytes) const { bytes.resize((bytes.size() + alignment - 1) / alignment * alignment, '\0'); }

  std::vector<Value> values_;
};

}  // namespace steerlm
