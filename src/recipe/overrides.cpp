#include "recipe/overrides.h"

#include <algorithm>
#include <charconv>
#include <initializer_list>
#include <optional>
#include <utility>

#include "steerlm/core/suggest.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

struct Part {
  std::string key;   // of a mapping; empty: an index
  size_t index = 0;  // of a list
};

// "data.train[0].path" -> data, train, 0, path; nothing where the path is malformed.
std::optional<std::vector<Part>> split_path(std::string_view path) {
  std::vector<Part> parts;
  size_t at = 0;
  for (;;) {
    const size_t end = path.find_first_of(".[]", at);
    const std::string_view key = path.substr(at, end - at);
    if (key.empty() || key.find_first_of(" \t\n'\"{}") != std::string_view::npos) return std::nullopt;
    parts.push_back({.key = std::string(key)});
    at = std::min(end, path.size());
    while (at < path.size() && path[at] == '[') {
      const size_t close = path.find(']', at);
      if (close == std::string_view::npos) return std::nullopt;
      Part part;
      const auto [rest, error] = std::from_chars(path.data() + at + 1, path.data() + close, part.index);
      if (error != std::errc{} || rest != path.data() + close || close == at + 1) return std::nullopt;
      parts.push_back(part);
      at = close + 1;
    }
    if (parts.size() > static_cast<size_t>(max_recipe_depth)) return std::nullopt;
    if (at == path.size()) return parts;
    if (path[at] != '.') return std::nullopt;
    ++at;
  }
}

// A source and a model may be written as their path alone, a list of sources as its only one. An override that reaches
// into them, data.train[0].limit, data.train.limit or model.tokenizer, makes of what is at `above` what it stands for.
void write_out(Yaml& node, const std::string& above, bool list) {
  const std::string key = above.substr(above.find_last_of('.') + 1);
  const auto is_one_of = [&](std::initializer_list<std::string_view> keys) {
    return std::ranges::find(keys, key) != keys.end();
  };
  const bool sources =
      is_one_of({"input", "prompts", "sources"}) || above.ends_with("data.train") || above.ends_with("data.validation");
  const bool scalar = node.kind == Yaml::Kind::scalar;
  Yaml whole{.where = node.where};
  if (list && sources && (scalar || node.kind == Yaml::Kind::mapping)) {
    whole.kind = Yaml::Kind::sequence;
    whole.items.push_back(std::move(node));
  } else if (!list && scalar && (sources || above.ends_with(']') || key == "model")) {
    whole.kind = Yaml::Kind::mapping;
    whole.entries.push_back({"path", node.where, std::move(node)});
  } else {
    return;
  }
  node = std::move(whole);
}

// The step of a pipeline that has the name; null with a fault where none has.
Yaml* named_step(Yaml& steps, const std::string& name, const std::string& where, std::vector<Fault>& faults) {
  std::vector<std::string> names;
  for (Yaml& step : steps.items) {
    const Yaml* own = step.kind == Yaml::Kind::mapping ? find(step, "name") : nullptr;
    if (own == nullptr || own->kind != Yaml::Kind::scalar) continue;
    if (own->text == name) return &step;
    names.push_back(own->text);
  }
  faults.push_back({.what = "no step is named '" + name + "'",
                    .where = where,
                    .expected = "one of " + join(names),
                    .advice = suggest(name, names)});
  return nullptr;
}

Fault not_set(const std::string& path, const std::string& where, const std::string& advice = "") {
  return {.what = "there is nothing to unset: '" + path + "' is not set", .where = where, .advice = advice};
}

std::string path_of(const std::string& above, const Part& part) {
  if (part.key.empty()) return above + "[" + std::to_string(part.index) + "]";
  return above.empty() ? part.key : above + "." + part.key;
}

enum class Missing { made, fault };  // what step_into does with a node that is not there

// The node that `part` of `node` names; null with a fault where there is none and it cannot or must not be made.
Yaml* step_into(Yaml& node, const Part& part, const std::string& above, const std::string& where, Missing missing,
                std::vector<Fault>& faults) {
  const bool index = part.key.empty();
  if (!index && above == "steps" && node.kind == Yaml::Kind::sequence) return named_step(node, part.key, where, faults);
  const Yaml::Kind wanted = index ? Yaml::Kind::sequence : Yaml::Kind::mapping;
  if (is_null(node)) node = {.kind = wanted, .where = where};
  if (node.kind != wanted) write_out(node, above, index);
  if (node.kind != wanted) {
    if (node.kind != Yaml::Kind::refused) {
      const std::string found = node.kind == Yaml::Kind::scalar     ? "a single value"
                                : node.kind == Yaml::Kind::sequence ? "a list"
                                                                    : "a section";
      faults.push_back(
          {.what = "'" + above + "' is " + found + ", not " + (index ? "a list" : "a section"), .where = where});
    }
    return nullptr;
  }
  if (index) {
    const size_t size = node.items.size();
    if (part.index >= size && missing == Missing::fault) {
      faults.push_back(not_set(path_of(above, part), where, "'" + above + "' has " + std::to_string(size) + " items"));
      return nullptr;
    }
    if (part.index > size) {
      faults.push_back({.what = "'" + above + "' has " + std::to_string(size) + " items",
                        .where = where,
                        .found = "index " + std::to_string(part.index),
                        .expected = "an index from 0 to " + std::to_string(size)});
      return nullptr;
    }
    if (part.index == size) node.items.push_back({.text = "null", .where = where});
    return &node.items[part.index];
  }
  if (find(node, part.key) == nullptr) {
    if (missing == Missing::fault) {
      std::vector<std::string> keys;
      for (const YamlEntry& entry : node.entries) keys.push_back(entry.key);
      const std::string path = path_of(above, part);
      faults.push_back(not_set(path, where, suggest(part.key, keys, path.substr(0, path.size() - part.key.size()))));
      return nullptr;
    }
    node.entries.push_back({part.key, where, {.text = "null", .where = where}});
  }
  return find(node, part.key);
}

// The node at the path and the one around it; nulls with a fault where there is none.
struct Found {
  Yaml *around = nullptr, *node = nullptr;
};
Found go_to(Yaml& root, const std::vector<Part>& parts, const std::string& where, Missing missing,
            std::vector<Fault>& faults) {
  Found found{nullptr, &root};
  std::string above;
  for (const Part& part : parts) {
    found = {found.node, step_into(*found.node, part, above, where, missing, faults)};
    if (found.node == nullptr) return {};
    above = path_of(above, part);
  }
  return found;
}

void unset(Yaml& root, const std::vector<Part>& parts, const std::string& where, std::vector<Fault>& faults) {
  const auto [around, node] = go_to(root, parts, where, Missing::fault, faults);
  if (node == nullptr) return;
  if (around->kind == Yaml::Kind::sequence)
    around->items.erase(around->items.begin() + (node - around->items.data()));
  else
    std::erase_if(around->entries, [node = node](const YamlEntry& entry) { return &entry.value == node; });
}

void apply(Yaml& root, const std::string& text, std::vector<Fault>& faults) {
  if (find_invalid_utf8(text) || text.find('\0') != std::string::npos) {
    faults.push_back({.what = "an override that is not valid UTF-8"});
    return;
  }
  std::string where = "override '";
  where.append(text).append("'");
  const size_t equals = text.find('=');
  const bool tilde = text.starts_with('~');
  std::optional<std::vector<Part>> parts;
  if (tilde && equals == std::string::npos) parts = split_path(std::string_view(text).substr(1));
  if (!tilde && equals != std::string::npos) parts = split_path(std::string_view(text).substr(0, equals));
  if (!parts) {
    faults.push_back({.what = "not an override",
                      .where = where,
                      .expected = "key=value with a dotted key, such as optimizer.learning_rate=1e-5 or "
                                  "data.train[0].path=x, or ~key, which unsets a key"});
    return;
  }
  const std::string value = tilde ? "null" : text.substr(equals + 1);
  if (value == "null") {
    unset(root, *parts, where, faults);
    return;
  }
  Yaml node{.text = value, .where = where};
  if (!value.empty() && std::string_view("[{\"'").find(value[0]) != std::string_view::npos) {
    try {
      node = parse_yaml_value(value, where, faults);
    } catch (const Error&) {
      return;  // the fault is noted
    }
  }
  if (Yaml* target = go_to(root, *parts, where, Missing::made, faults).node) *target = std::move(node);
}

}  // namespace

void apply_overrides(Yaml& root, std::span<const std::string> overrides, std::vector<Fault>& faults) {
  for (const std::string& text : overrides) apply(root, text, faults);
}

}  // namespace steerlm
