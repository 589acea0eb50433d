// The part of YAML that recipes are written in, as a tree that knows where each node stands.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/error.h"

namespace steerlm {

struct YamlEntry;

struct Yaml {
  enum class Kind {
    scalar,
    sequence,
    mapping,
    refused
  };  // refused: its fault is noted already, a reader passes over it
  Kind kind = Kind::scalar;
  std::string text;     // scalar
  bool quoted = false;  // scalar: written with quotes or as a block, hence a text
  std::vector<Yaml> items;
  std::vector<YamlEntry> entries;
  std::string where;  // "sft.yaml:3:12"
};

struct YamlEntry {
  std::string key;
  std::string where;
  Yaml value;
};

inline constexpr size_t max_recipe_bytes = 1 << 20;
inline constexpr int max_recipe_depth = 16;

// One document whose root is a mapping. Positions start with `name`. Throws recipe where the text cannot be read at all
// (size, encoding, syntax, depth); adds to `faults` what a recipe must not have (anchors, aliases, tags, merge keys,
// duplicate keys).
Yaml parse_yaml(std::string_view text, const std::string& name, std::vector<Fault>& faults);

// A value in flow style, of any kind; every node of it is at `where`.
Yaml parse_yaml_value(std::string_view text, const std::string& where, std::vector<Fault>& faults);

// Block style; lists of scalars in flow style. Texts (`quoted`) get quotes only where they need them.
std::string write_yaml(const Yaml& root);

// A scalar as write_yaml spells it.
std::string write_scalar(const Yaml& scalar);

// Scalars as recipes understand them (YAML 1.2 core schema, less octal and hexadecimal numbers, .inf and .nan).
bool is_null(const Yaml& node);                 // null, ~, nothing
bool looks_like_number(std::string_view text);  // 5, -5, 1e-5, 1e-05, .5
bool looks_like_integer(std::string_view text);

// The value of a key of a mapping, or null.
const Yaml* find(const Yaml& mapping, std::string_view key);
Yaml* find(Yaml& mapping, std::string_view key);
// The node at a dotted path ("train.steps"), or null.
const Yaml* find_path(const Yaml& root, std::string_view path);
// Where the node at a dotted path stands, or else the nearest section around it.
const std::string& where_of(const Yaml& root, std::string_view path);

Yaml make_text(std::string text, std::string where);

}  // namespace steerlm
