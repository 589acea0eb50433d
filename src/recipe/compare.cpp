#include <charconv>
#include <map>
#include <optional>
#include <set>
#include <string_view>

#include "recipe/yaml.h"
#include "steerlm/recipe/compare.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {
namespace {

struct Leaf {
  std::string spelled;  // as a dumped recipe has it, with the quotes that it needs
  std::string text;     // what that stands for
};
using Leaves = std::map<std::string, Leaf>;  // by path

void flatten(const Yaml& node, const std::string& path, Leaves& leaves) {
  if (node.kind == Yaml::Kind::scalar) leaves[path] = {write_scalar(node), node.text};
  for (const YamlEntry& entry : node.entries)
    flatten(entry.value, path.empty() ? entry.key : path + "." + entry.key, leaves);
  for (size_t i = 0; i < node.items.size(); ++i) flatten(node.items[i], path + "[" + std::to_string(i) + "]", leaves);
}

Leaves leaves_of(const std::string& yaml) {
  std::vector<Fault> faults;
  Leaves leaves;
  flatten(parse_yaml(yaml, "recipe.yaml", faults), "", leaves);
  if (!faults.empty()) throw Error(ExitCode::recipe, faults);
  return leaves;
}

bool never_counts(const std::string& path) {
  static const std::set<std::string_view> keys{"run_dir",         "device",           "max_minutes",    "batch_tokens",
                                               "on_bad_record",   "max_bad_share",    "data.cache_dir", "head.features",
                                               "train.recompute", "train.max_minutes"};
  return keys.contains(path) || path.starts_with("checkpoint.");
}

bool has_grown(const std::string& before, const std::string& now) {
  std::int64_t a = 0, b = 0;
  std::from_chars(before.data(), before.data() + before.size(), a);
  std::from_chars(now.data(), now.data() + now.size(), b);
  return b > a;
}

Leaf leaf_at(const Leaves& leaves, const std::string& path) {
  const auto found = leaves.find(path);
  return found == leaves.end() ? Leaf{"(none)", "(none)"} : found->second;
}

std::string folder_above(const Leaves& leaves, int levels) {
  std::string folder = leaf_at(leaves, "run_dir").text;
  for (int level = 0; level < levels; ++level) {
    const size_t slash = folder.find_last_of('/');
    if (slash == std::string::npos) return "";
    folder.resize(slash);
  }
  return levels > 0 ? folder : "";
}

// An earlier version dumped the whole range of a recipe that gives a part of `attributes`, also what it leaves to the
// model folders.
bool leaves_range_to_folder(const std::string& path, const std::string& stage) {
  const std::optional<Stage> known = enum_value<Stage>(stage);
  return known && has_folder_attributes(*known) && (path == "attributes.min" || path == "attributes.max");
}

}  // namespace

std::string folder_above(const std::string& recipe, int levels) { return folder_above(leaves_of(recipe), levels); }

std::vector<std::string> differing_keys(const std::string& before, const std::string& now, int levels) {
  const auto old_leaves = leaves_of(before), new_leaves = leaves_of(now);
  Leaves all = old_leaves;
  all.insert(new_leaves.begin(), new_leaves.end());
  // "runs/2/base/model" of a step whose run_dir is runs/2/sft -> "/base/model"
  const std::string old_folder = folder_above(old_leaves, levels), new_folder = folder_above(new_leaves, levels);
  const auto from_folder = [](const std::string& folder, const Leaf& value) {
    const bool inside = !folder.empty() && value.text.starts_with(folder + "/");
    return inside ? value.text.substr(folder.size()) : value.spelled;
  };
  const std::string stage = leaf_at(new_leaves, "stage").text;
  std::vector<std::string> keys;
  for (const auto& [path, unused] : all) {
    const Leaf a = leaf_at(old_leaves, path), b = leaf_at(new_leaves, path);
    const bool length = path == "train.steps" || path == "train.epochs";
    const bool both = old_leaves.contains(path) && new_leaves.contains(path);
    if (a.spelled == b.spelled || from_folder(old_folder, a) == from_folder(new_folder, b) || never_counts(path) ||
        (!both && leaves_range_to_folder(path, stage)) || (length && both && has_grown(a.spelled, b.spelled)))
      continue;
    keys.push_back(path + ": " + a.spelled + " -> " + b.spelled);
  }
  return keys;
}

}  // namespace steerlm
