// A visitor of fields(): the tree to structs, strictly, noting every fault on the way.
#pragma once

#include <algorithm>
#include <array>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "recipe/describe.h"
#include "recipe/encode.h"
#include "recipe/yaml.h"
#include "steerlm/core/suggest.h"

namespace steerlm {

class Decoder {
 public:
  Decoder(Stage stage, std::vector<Fault>& faults) : stage_(stage), faults_(faults) {}

  // Fills `out` from the mapping; `path` is its dotted path. `besides`: keys that the caller reads itself.
  template <HasFields T>
  void section(const Yaml& node, T& out, const std::string& path, const std::vector<std::string>& besides = {});

  void unknown_key(const YamlEntry& entry, const std::string& section, const std::vector<std::string>& known);
  void wrong(const Yaml& node, const std::string& path, const std::string& expected, std::string advice = "");
  // Whether a fault was found at or below a top-level key.
  bool faulty(const std::string& top_level_key) const { return faulty_.contains(top_level_key); }

  void value(const Yaml& node, bool& out, const std::string& path, const KeyInfo& limits);
  void value(const Yaml& node, std::int64_t& out, const std::string& path, const KeyInfo& limits);
  void value(const Yaml& node, double& out, const std::string& path, const KeyInfo& limits);
  void value(const Yaml& node, std::string& out, const std::string& path, const KeyInfo& limits);
  // bootstrap's `select`: an integer or a word
  void value(const Yaml& node, std::map<std::string, std::string>& out, const std::string& path, const KeyInfo& limits);
  void value(const Yaml& node, std::map<std::string, std::int64_t>& out, const std::string& path,
             const KeyInfo& limits);
  void value(const Yaml& node, std::map<std::string, double>& out, const std::string& path, const KeyInfo& limits);
  template <Named E>
  void value(const Yaml& node, E& out, const std::string& path, const KeyInfo& limits);
  template <Named E>
  void value(const Yaml& node, std::map<std::string, E>& out, const std::string& path, const KeyInfo& limits);
  template <class T>
  void value(const Yaml& node, std::optional<T>& out, const std::string& path, const KeyInfo& limits);
  template <class T>
  void value(const Yaml& node, std::vector<T>& out, const std::string& path, const KeyInfo& limits);
  template <class T, size_t N>
  void value(const Yaml& node, std::array<T, N>& out, const std::string& path, const KeyInfo& limits);
  template <HasFields T>
  void value(const Yaml& node, T& out, const std::string& path, const KeyInfo& limits);

  Stage stage() const { return stage_; }

 private:
  void note(const std::string& path, Fault fault);
  bool in_range(const Yaml& node, double number, const std::string& path, const KeyInfo& limits);
  void wrong_choice(const Yaml& node, const std::string& path, const std::vector<std::string>& choices);

  Stage stage_;
  std::vector<Fault>& faults_;
  std::set<std::string> faulty_;
};

class DecodeFields {
 public:
  DecodeFields(Decoder& decoder, const Yaml& mapping, const std::string& path)
      : decoder_(decoder), mapping_(mapping), path_(path) {}

  template <class T>
  void operator()(std::string_view name, T& storage, std::string_view) {
    read(name, storage, {});
  }
  template <class T>
  void operator()(std::string_view name, T& storage, const Range& range, std::string_view) {
    read(name, storage, {.range = range});
  }
  template <class T>
  void operator()(std::string_view name, T& storage, Shape shape, std::string_view) {
    read(name, storage, {.range = range_of(shape), .shape = shape});
  }
  const std::vector<std::string>& names() const { return names_; }

 private:
  template <class T>
  void read(std::string_view name, T& storage, const KeyInfo& limits) {
    const std::string path = path_.empty() ? std::string(name) : path_ + "." + std::string(name);
    if (!uses_key(decoder_.stage(), path)) return;
    names_.emplace_back(name);
    if (const Yaml* node = find(mapping_, name); node != nullptr && node->kind != Yaml::Kind::refused) {
      decoder_.value(*node, storage, path, limits);
    }
  }

  Decoder& decoder_;
  const Yaml& mapping_;
  const std::string& path_;
  std::vector<std::string> names_;
};

template <HasFields T>
void Decoder::section(const Yaml& node, T& out, const std::string& path, const std::vector<std::string>& besides) {
  DecodeFields field(*this, node, path);
  out.fields(field);
  std::vector<std::string> known = field.names();
  known.insert(known.end(), besides.begin(), besides.end());
  for (const YamlEntry& entry : node.entries) {
    if (std::find(known.begin(), known.end(), entry.key) == known.end()) unknown_key(entry, path, known);
  }
}

template <Named E>
void Decoder::value(const Yaml& node, E& out, const std::string& path, const KeyInfo&) {
  const std::optional<E> choice = node.kind == Yaml::Kind::scalar ? enum_value<E>(node.text) : std::nullopt;
  if (choice)
    out = *choice;
  else
    wrong_choice(node, path, enum_choices<E>());
}

template <Named E>
void Decoder::value(const Yaml& node, std::map<std::string, E>& out, const std::string& path, const KeyInfo& limits) {
  out.clear();
  if (node.kind != Yaml::Kind::mapping) {
    const KeyInfo expected{.type = KeyInfo::Type::map, .item = KeyInfo::Type::choice, .choices = enum_choices<E>()};
    wrong(node, path, expected_text(expected));
    return;
  }
  for (const YamlEntry& entry : node.entries) value(entry.value, out[entry.key], path + "." + entry.key, limits);
}

template <class T>
void Decoder::value(const Yaml& node, std::optional<T>& out, const std::string& path, const KeyInfo& limits) {
  T inner{};
  value(node, inner, path, limits);
  out = std::move(inner);
}

template <class T>
void Decoder::value(const Yaml& node, std::vector<T>& out, const std::string& path, const KeyInfo& limits) {
  out.clear();
  const bool scalar = node.kind == Yaml::Kind::scalar && !is_null(node);
  if (scalar && limits.shape == Shape::all_or_list && node.text == "all") return;  // empty: all
  if (scalar && limits.shape == Shape::one_or_list) {
    value(node, out.emplace_back(), path, {.type = KeyInfo::Type::list});
    return;
  }
  if (node.kind != Yaml::Kind::sequence) {
    const KeyInfo expected{.type = KeyInfo::Type::list,
                           .item = HasFields<T>                      ? KeyInfo::Type::section
                                   : std::is_same_v<T, std::int64_t> ? KeyInfo::Type::integer
                                   : std::is_same_v<T, double>       ? KeyInfo::Type::number
                                                                     : KeyInfo::Type::text,
                           .range = limits.range,
                           .shape = limits.shape};
    wrong(node, path, expected_text(expected));
    return;
  }
  for (size_t i = 0; i < node.items.size(); ++i) {
    if (node.items[i].kind == Yaml::Kind::refused) continue;
    value(node.items[i], out.emplace_back(), path + "[" + std::to_string(i) + "]",
          {.type = KeyInfo::Type::list, .range = limits.range});
  }
}

template <class T, size_t N>
void Decoder::value(const Yaml& node, std::array<T, N>& out, const std::string& path, const KeyInfo& limits) {
  if (node.kind != Yaml::Kind::sequence || node.items.size() != N) {
    wrong(node, path,
          expected_text(
              {.type = KeyInfo::Type::list, .item = KeyInfo::Type::number, .length = N, .range = limits.range}));
    return;
  }
  for (size_t i = 0; i < N; ++i) value(node.items[i], out[i], path + "[" + std::to_string(i) + "]", limits);
}

template <HasFields T>
void Decoder::value(const Yaml& node, T& out, const std::string& path, const KeyInfo& limits) {
  // A source of a list may be its path alone.
  const bool source = limits.type == KeyInfo::Type::list;
  if (source && node.kind == Yaml::Kind::scalar && !is_null(node)) {
    if constexpr (requires { out.path; }) value(node, out.path, path, {});
    return;
  }
  if (node.kind != Yaml::Kind::mapping) {
    wrong(node, path,
          source ? "a path or a section with a path"
                 : expected_text({.type = KeyInfo::Type::section, .shape = limits.shape}));
    return;
  }
  section(node, out, path);
}

}  // namespace steerlm
