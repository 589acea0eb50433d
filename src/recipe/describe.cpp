#include "recipe/describe.h"

#include <cmath>
#include <type_traits>

#include "recipe/encode.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

class DescribeFields {
 public:
  DescribeFields(Stage stage, std::string path, std::vector<KeyInfo>& keys)
      : stage_(stage), path_(std::move(path)), keys_(keys) {}

  template <class T>
  void operator()(std::string_view name, T& storage, std::string_view meaning) {
    add(name, storage, {}, Shape::plain, meaning);
  }
  template <class T>
  void operator()(std::string_view name, T& storage, const Range& range, std::string_view meaning) {
    add(name, storage, range, Shape::plain, meaning);
  }
  template <class T>
  void operator()(std::string_view name, T& storage, Shape shape, std::string_view meaning) {
    add(name, storage, range_of(shape), shape, meaning);
  }

 private:
  template <class T>
  void add(std::string_view name, T& storage, const Range& range, Shape shape, std::string_view meaning) {
    const std::string path = path_.empty() ? std::string(name) : path_ + "." + std::string(name);
    if (!uses_key(stage_, path)) return;
    KeyInfo key{.name = std::string(name), .range = range, .shape = shape, .meaning = std::string(meaning)};
    describe_value(storage, path, key);
    keys_.push_back(std::move(key));
  }

  template <class T>
  void describe_value(T& storage, const std::string& path, KeyInfo& key) {
    key.type = type_of<T>();
    if constexpr (HasFields<T>) {
      DescribeFields inner(stage_, path, key.children);
      storage.fields(inner);
    } else {
      key.value = encode(storage);
      if constexpr (std::is_same_v<T, std::int64_t>) key.value = encode(storage, key.shape);
      if constexpr (Named<T>) key.choices = enum_choices<T>();
    }
  }
  template <class T>
  void describe_value(std::optional<T>& storage, const std::string& path, KeyInfo& key) {
    T fresh{};
    describe_value(storage ? *storage : fresh, path, key);
    key.off = !storage;
  }
  template <class T>
  void describe_value(std::vector<T>& storage, const std::string& path, KeyInfo& key) {
    key.type = KeyInfo::Type::list;
    key.item = type_of<T>();
    key.value = encode(storage);
    if constexpr (HasFields<T>) {
      T fresh;
      DescribeFields inner(stage_, path, key.children);
      fresh.fields(inner);
    }
  }
  template <class T, size_t N>
  void describe_value(std::array<T, N>& storage, const std::string&, KeyInfo& key) {
    key.type = KeyInfo::Type::list;
    key.item = type_of<T>();
    key.length = N;
    key.value = encode(storage);
  }
  template <class T>
  void describe_value(std::map<std::string, T>& storage, const std::string&, KeyInfo& key) {
    key.type = KeyInfo::Type::map;
    key.item = type_of<T>();
    if constexpr (Named<T>) key.choices = enum_choices<T>();
    key.value = encode(storage);
  }

  template <class T>
  static constexpr KeyInfo::Type type_of() {
    if constexpr (std::is_same_v<T, bool>)
      return KeyInfo::Type::boolean;
    else if constexpr (std::is_same_v<T, std::int64_t>)
      return KeyInfo::Type::integer;
    else if constexpr (std::is_same_v<T, double>)
      return KeyInfo::Type::number;
    else if constexpr (std::is_same_v<T, std::string>)
      return KeyInfo::Type::text;
    else if constexpr (Named<T>)
      return KeyInfo::Type::choice;
    else
      return KeyInfo::Type::section;
  }

  Stage stage_;
  std::string path_;
  std::vector<KeyInfo>& keys_;
};

}  // namespace

std::vector<KeyInfo> describe(Recipe recipe) {
  std::vector<KeyInfo> keys;
  DescribeFields field(recipe.stage, "", keys);
  recipe.fields(field);
  return keys;
}

std::string range_text(const Range& range) {
  const bool has_min = range.min != Range{}.min, has_max = range.max != Range{}.max;
  const auto text = [](double bound) {
    const bool whole = std::abs(bound) < 1e15 && bound == std::floor(bound);
    return whole ? std::to_string(static_cast<std::int64_t>(bound)) : encode(bound).text;
  };
  const std::string low = text(range.min), high = text(range.max);
  if (has_min && has_max)
    return (range.open_min ? "above " : "from ") + low + (range.open_max ? " to below " : " to ") + high;
  if (has_min) return (range.open_min ? "above " : "of at least ") + low;
  return has_max ? (range.open_max ? "below " : "of at most ") + high : "";
}

std::string expected_text(const KeyInfo& key) {
  const std::string range = range_text(key.range);
  const auto with_range = [&](const std::string& text) { return range.empty() ? text : text + " " + range; };
  switch (key.type) {
    case KeyInfo::Type::boolean:
      return "true or false";
    case KeyInfo::Type::integer:
      return with_range("an integer") + (key.shape == Shape::count_or_auto ? ", or auto" : "");
    case KeyInfo::Type::number:
      return with_range("a number");
    case KeyInfo::Type::text:
      return key.shape == Shape::path_or_section ? "a path, or {path: …}" : "a text";
    case KeyInfo::Type::choice:
      return "one of " + join(key.choices);
    case KeyInfo::Type::section:
      return key.shape == Shape::path_or_section ? "a path or a section" : "a section";
    case KeyInfo::Type::map:
      if (key.item == KeyInfo::Type::choice) return "names with one of " + join(key.choices) + " each";
      return key.item == KeyInfo::Type::integer  ? "names with an integer each"
             : key.item == KeyInfo::Type::number ? "names with a number each"
                                                 : "names with an integer or max each";
    case KeyInfo::Type::list:
      break;
  }
  std::string text = key.length > 0 ? "a list of " + std::to_string(key.length) + " " : "a list of ";
  text += key.item == KeyInfo::Type::number    ? with_range("numbers")
          : key.item == KeyInfo::Type::integer ? with_range("integers")
          : key.item == KeyInfo::Type::section ? "sources"
                                               : "texts";
  if (key.shape == Shape::one_or_list) text = "a path or " + text;
  if (key.shape == Shape::all_or_list) text = "all, or " + text;
  return text;
}

std::string flow_text(const Yaml& node) {
  std::string text;
  if (node.kind == Yaml::Kind::scalar) return write_scalar(node);
  for (const Yaml& item : node.items) text += (text.empty() ? "" : ", ") + flow_text(item);
  for (const YamlEntry& entry : node.entries)
    text += (text.empty() ? "" : ", ") + entry.key + ": " + flow_text(entry.value);
  return node.kind == Yaml::Kind::sequence ? "[" + text + "]" : "{" + text + "}";
}

bool has_key(const std::vector<KeyInfo>& keys, std::string_view path) {
  const size_t dot = path.find('.');
  for (const KeyInfo& key : keys) {
    if (key.name == path.substr(0, dot))
      return dot == std::string_view::npos || has_key(key.children, path.substr(dot + 1));
  }
  return false;
}

std::vector<std::string> stages_with(std::string_view path) {
  std::vector<std::string> stages;
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    const bool steps = stage == Stage::pipeline && path == "steps";
    if (steps || has_key(describe({.stage = stage}), path)) stages.emplace_back(name);
  }
  return stages;
}

std::string path_ending_in(const std::vector<KeyInfo>& keys, const std::string& name) {
  for (const KeyInfo& key : keys) {
    if (key.name == name) return name;
    if (key.type != KeyInfo::Type::section) continue;  // a key of a list's items has no path without an index
    const std::string below = path_ending_in(key.children, name);
    if (!below.empty()) return key.name + "." + below;
  }
  return "";
}

}  // namespace steerlm
