#include "steerlm/store/safetensors_header.h"

#include <algorithm>
#include <array>
#include <limits>

#include "steerlm/core/error.h"
#include "steerlm/core/json.h"

namespace steerlm {
namespace {

constexpr std::array<std::pair<std::string_view, std::uint64_t>, 20> dtype_bits{{
    {"F64", 64}, {"F32", 32},    {"F16", 16},    {"BF16", 16},   {"I64", 64},    {"I32", 32},    {"I16", 16},
    {"I8", 8},   {"U64", 64},    {"U32", 32},    {"U16", 16},    {"U8", 8},      {"BOOL", 8},    {"C64", 64},
    {"F4", 4},   {"F6_E2M3", 6}, {"F6_E3M2", 6}, {"F8_E4M3", 8}, {"F8_E5M2", 8}, {"F8_E8M0", 8},
}};

[[noreturn]] void damaged(const std::string& where, std::string what, std::string found = "",
                          std::string expected = "") {
  fail(ExitCode::model, {.what = std::move(what),
                         .where = where,
                         .found = std::move(found),
                         .expected = std::move(expected),
                         .advice = "the file is damaged or no safetensors file; fetch or save it again"});
}

std::string in_tensor(const std::string& name) { return "tensor '" + name + "': "; }

std::uint64_t non_negative(const Json& value, const std::string& where, const std::string& what) {
  if (!value.is_number_unsigned())
    damaged(where, what, value.dump(-1, ' ', false, Json::error_handler_t::replace), "an integer from 0");
  return value.get<std::uint64_t>();
}

// Bits of all elements. Empty dimensions are legal, but the others must not overflow either:
// strides are made of them.
std::uint64_t count_bits(const TensorInfo& info, std::uint64_t element_bits, const std::string& where,
                         const std::string& name) {
  constexpr std::uint64_t limit = std::numeric_limits<std::int64_t>::max();
  std::uint64_t product = element_bits;
  bool empty = false;
  for (const std::int64_t size : info.shape) {
    empty = empty || size == 0;
    const auto factor = static_cast<std::uint64_t>(std::max<std::int64_t>(size, 1));
    if (product > limit / factor) damaged(where, in_tensor(name) + "the shape overflows");
    product *= factor;
  }
  return empty ? 0 : product;
}

TensorInfo parse_tensor(const std::string& name, const Json& entry, const std::string& where) {
  if (!entry.is_object()) damaged(where, in_tensor(name) + "not an object with dtype, shape and data_offsets");
  for (const char* key : {"dtype", "shape", "data_offsets"}) {
    if (!entry.contains(key)) damaged(where, in_tensor(name) + "no '" + key + "'");
  }
  TensorInfo info;
  if (!entry["dtype"].is_string()) damaged(where, in_tensor(name) + "'dtype' is not a string");
  info.dtype = entry["dtype"].get<std::string>();
  const std::uint64_t element_bits = safetensors_dtype_bits(info.dtype);
  if (element_bits == 0) damaged(where, in_tensor(name) + "unknown dtype '" + info.dtype + "'");

  if (!entry["shape"].is_array()) damaged(where, in_tensor(name) + "'shape' is not an array");
  for (const Json& size : entry["shape"]) {
    const std::uint64_t value = non_negative(size, where, in_tensor(name) + "a size in 'shape'");
    if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()))
      damaged(where, in_tensor(name) + "the shape overflows");
    info.shape.push_back(static_cast<std::int64_t>(value));
  }

  const Json& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2) damaged(where, in_tensor(name) + "'data_offsets' is not a pair");
  info.begin = non_negative(offsets[0], where, in_tensor(name) + "the begin in 'data_offsets'");
  info.end = non_negative(offsets[1], where, in_tensor(name) + "the end in 'data_offsets'");
  if (info.begin > info.end) {
    damaged(where, in_tensor(name) + "'data_offsets' end before they begin",
            std::to_string(info.begin) + ", " + std::to_string(info.end));
  }
  const std::uint64_t bits = count_bits(info, element_bits, where, name);
  if (bits % 8 != 0) damaged(where, in_tensor(name) + "elements of " + info.dtype + " do not end on a byte");
  if (info.end - info.begin != bits / 8) {
    damaged(where, in_tensor(name) + "shape and data_offsets do not agree",
            std::to_string(info.end - info.begin) + " bytes", std::to_string(bits / 8) + " bytes");
  }
  return info;
}

// The tensors must lie end to end from 0 to `data_size`: no hole, no overlap, nothing behind.
void check_coverage(const SafetensorsHeader& header, std::uint64_t data_size, const std::string& where) {
  std::uint64_t next = 0;
  for (const auto& [name, info] : header.tensors) {
    if (info.end > data_size) {
      damaged(where, in_tensor(name) + "lies behind the end of the file: it is cut off",
              std::to_string(data_size) + " bytes of tensors", "at least " + std::to_string(info.end));
    }
    if (info.begin != next) {
      damaged(where, in_tensor(name) + (info.begin < next ? "overlaps the tensor before it" : "a hole lies before it"),
              "begin " + std::to_string(info.begin), std::to_string(next));
    }
    next = info.end;
  }
  if (next != data_size) {
    damaged(where, "bytes behind the last tensor", std::to_string(data_size) + " bytes of tensors",
            std::to_string(next));
  }
}

}  // namespace

std::uint64_t safetensors_dtype_bits(std::string_view dtype) {
  for (const auto& [name, bits] : dtype_bits) {
    if (name == dtype) return bits;
  }
  return 0;
}

std::uint64_t safetensors_header_length(std::string_view first_bytes, std::uint64_t file_size,
                                        const std::string& where) {
  if (first_bytes.size() < safetensors_length_bytes) {
    damaged(where, "too short for a safetensors file", std::to_string(file_size) + " bytes", "more than 8");
  }
  std::uint64_t length = 0;
  for (size_t i = 0; i < safetensors_length_bytes; ++i) {
    length |= std::uint64_t{static_cast<unsigned char>(first_bytes[i])} << (8 * i);
  }
  if (length > max_safetensors_header_bytes) {
    damaged(where, "header too large", std::to_string(length) + " bytes",
            "at most " + std::to_string(max_safetensors_header_bytes));
  }
  if (length < 2) damaged(where, "header too small", std::to_string(length) + " bytes", "at least 2");
  if (length > file_size - safetensors_length_bytes) {
    damaged(where, "the header is longer than the file: it is cut off", std::to_string(file_size) + " bytes",
            "more than " + std::to_string(safetensors_length_bytes + length));
  }
  return length;
}

SafetensorsHeader parse_safetensors_header(std::string_view json, std::uint64_t data_size, const std::string& where) {
  if (json.starts_with("\xEF\xBB\xBF")) damaged(where, "the header starts with a byte-order mark");
  const Json root = parse_json(json, where + ", header", ExitCode::model, 4);
  if (!root.is_object()) damaged(where, "the header is not a JSON object");
  SafetensorsHeader header;
  header.data_offset = safetensors_length_bytes + json.size();
  for (const auto& [name, entry] : root.items()) {
    if (name != "__metadata__") {
      header.tensors.emplace_back(name, parse_tensor(name, entry, where));
      continue;
    }
    if (!entry.is_object()) damaged(where, "'__metadata__' is not an object");
    for (const auto& [key, value] : entry.items()) {
      if (!value.is_string()) damaged(where, "'__metadata__' holds something else than strings, at '" + key + "'");
      header.metadata[key] = value.get<std::string>();
    }
  }
  std::stable_sort(header.tensors.begin(), header.tensors.end(), [](const auto& a, const auto& b) {
    return std::pair(a.second.begin, a.second.end) < std::pair(b.second.begin, b.second.end);
  });
  check_coverage(header, data_size, where);
  return header;
}

std::string format_safetensors_header(const SafetensorsHeader& header) {
  Json root = Json::object();
  if (!header.metadata.empty()) root["__metadata__"] = header.metadata;
  for (const auto& [name, info] : header.tensors) {
    root[name] = {{"dtype", info.dtype}, {"shape", info.shape}, {"data_offsets", {info.begin, info.end}}};
  }
  std::string json = dump_json(root);
  json.resize((json.size() + 7) / 8 * 8, ' ');
  std::string bytes;
  for (size_t i = 0; i < safetensors_length_bytes; ++i) {
    bytes += static_cast<char>(static_cast<unsigned char>(std::uint64_t{json.size()} >> (8 * i)));
  }
  return bytes + json;
}

}  // namespace steerlm
