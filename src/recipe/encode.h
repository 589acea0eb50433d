// A visitor of fields(): structs to the tree that write_yaml prints.
#pragma once

#include <array>
#include <charconv>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "recipe/yaml.h"
#include "steerlm/core/fields.h"

namespace steerlm {

struct EncodeFields;
template <class T>
concept HasFields = requires(T& value, EncodeFields& field) {
  value.fields(field);
};
template <class T>
concept Named = requires {
  EnumNames<T>::table;
};

inline Yaml encode(bool value) { return {.text = value ? "true" : "false"}; }
inline Yaml encode(std::int64_t value) { return {.text = std::to_string(value)}; }
// Shortest text that reads back as the same double; "5.0e-06" and not "5e-06", which readers of YAML 1.1 take for a
// text.
inline Yaml encode(double value) {
  char buffer[32];
  std::string text(buffer, std::to_chars(buffer, buffer + sizeof buffer, value).ptr);
  const size_t exponent = text.find('e');
  if (exponent != std::string::npos && text.find('.') == std::string::npos) text.insert(exponent, ".0");
  return {.text = text};
}
inline Yaml encode(const std::string& value) { return make_text(value, ""); }
inline Yaml encode(std::int64_t value, Shape shape) {
  return shape == Shape::count_or_auto && value == 0 ? make_text("auto", "") : encode(value);
}
template <Named E>
Yaml encode(E value) {
  return make_text(std::string(enum_name(value)), "");
}
template <class T>
Yaml encode(const std::vector<T>& values);
template <class T>
Yaml encode(const std::map<std::string, T>& values);
template <class T, size_t N>
Yaml encode(const std::array<T, N>& values);
template <HasFields T>
Yaml encode(const T& value);

struct EncodeFields {
  Yaml& mapping;

  void operator()(std::string_view name, const auto& storage, auto&&...) {
    mapping.entries.push_back({std::string(name), "", encode(storage)});
  }
  void operator()(std::string_view name, const std::int64_t& storage, Shape shape, auto&&) {
    mapping.entries.push_back({std::string(name), "", encode(storage, shape)});
  }
  template <class T>
  void operator()(std::string_view name, const std::optional<T>& storage, auto&&...) {
    if (storage) mapping.entries.push_back({std::string(name), "", encode(*storage)});
  }
};

template <class T>
Yaml encode(const std::vector<T>& values) {
  Yaml node{.kind = Yaml::Kind::sequence};
  for (const T& value : values) node.items.push_back(encode(value));
  return node;
}
// Maps of texts hold integers and words alike (bootstrap's `select`): an integer is written as one.
template <class T>
Yaml encode(const std::map<std::string, T>& values) {
  Yaml node{.kind = Yaml::Kind::mapping};
  for (const auto& [key, value] : values) {
    node.entries.push_back({key, "", encode(value)});
    Yaml& scalar = node.entries.back().value;
    if (looks_like_integer(scalar.text)) scalar.quoted = false;
  }
  return node;
}
template <class T, size_t N>
Yaml encode(const std::array<T, N>& values) {
  Yaml node{.kind = Yaml::Kind::sequence};
  for (const T& value : values) node.items.push_back(encode(value));
  return node;
}
template <HasFields T>
Yaml encode(const T& value) {
  Yaml node{.kind = Yaml::Kind::mapping};
  EncodeFields field{node};
  T copy = value;  // fields() is not const
  copy.fields(field);
  return node;
}

}  // namespace steerlm
