// The keys of a recipe as data: what unknown keys are compared with, and what the schema and the reference page are
// made of.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "recipe/yaml.h"
#include "steerlm/core/fields.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

struct KeyInfo {
  enum class Type { boolean, integer, number, text, choice, section, list, map };
  std::string name;
  Type type = Type::text;
  Type item = Type::text;  // of a list or map
  size_t length = 0;       // of a list: its fixed length, 0: any
  Range range;             // of numbers, also of those in a list
  Shape shape = Shape::plain;
  std::vector<std::string> choices;
  Yaml value;        // the default
  bool off = false;  // an optional without a default
  std::string meaning;
  std::vector<KeyInfo> children;  // of a section, and of the items of a list of sections
};

// All keys that a recipe of `recipe.stage` may have, with the values in `recipe` as their defaults.
std::vector<KeyInfo> describe(Recipe recipe);

// "an integer from 0 to 9", "one of steerlm, plain"
std::string expected_text(const KeyInfo& key);
std::string flow_text(const Yaml& node);     // on one line: "[0.9, 0.98]", "{quality: 4}"
std::string range_text(const Range& range);  // "from 0 to 9", "of at least 0", "" for any

// Whether a dotted path without indices ("data.train.path") is a key of the list.
bool has_key(const std::vector<KeyInfo>& keys, std::string_view path);
// The stages whose recipes have this key.
std::vector<std::string> stages_with(std::string_view path);
// A dotted path of the list that ends in `name`, or "".
std::string path_ending_in(const std::vector<KeyInfo>& keys, const std::string& name);

}  // namespace steerlm
