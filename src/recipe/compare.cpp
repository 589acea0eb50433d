#include <charconv>
#include <map>
#include <set>
#include <string_view>

#include "recipe/yaml.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

void flatten(const Yaml& node, const std::string& path, std::map<std::string, std::string>& leaves) {
  if (node.kind == Yaml::Kind::scalar) leaves[path] = write_scalar(node);
  for (const YamlEntry& entry : node.entries)
    flatten(entry.value, path.empty() ? entry.key : path + "." + entry.key, leaves);
  for (size_t i = 0; i < node.items.size(); ++i) flatten(node.items[i], path + "[" + std::to_string(i) + "]", leaves);
}

std::map<std::string, std::string> leaves_of(const std::string& yaml) {
  std::vector<Fault> faults;
  std::map<std::string, std::string> leaves;
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

}  // namespace

std::vector<std::string> differing_keys(const std::string& before, const std::string& now, bool of_steps) {
  const auto old_leaves = leaves_of(before), new_leaves = leaves_of(now);
  std::map<std::string, std::string> all = old_leaves;
  all.insert(new_leaves.begin(), new_leaves.end());
  const auto text = [](const std::map<std::string, std::string>& leaves, const std::string& path) {
    const auto found = leaves.find(path);
    return found == leaves.end() ? std::string("(none)") : found->second;
  };
  // "runs/2/base/model" of a step whose run_dir is runs/2/sft -> "/base/model"
  const auto in_pipeline = [&](const std::map<std::string, std::string>& leaves, const std::string& value) {
    const std::string own = text(leaves, "run_dir");
    const std::string folder = own.substr(0, own.find_last_of('/') + 1);
    return of_steps && !folder.empty() && value.starts_with(folder) ? value.substr(folder.size() - 1) : value;
  };
  std::vector<std::string> keys;
  for (const auto& [path, unused] : all) {
    const std::string a = text(old_leaves, path), b = text(new_leaves, path);
    const bool length = path == "train.steps" || path == "train.epochs";
    const bool both = old_leaves.contains(path) && new_leaves.contains(path);
    if (a == b || in_pipeline(old_leaves, a) == in_pipeline(new_leaves, b) || never_counts(path) ||
        (length && both && has_grown(a, b)))
      continue;
    keys.push_back(path + ": " + a + " -> " + b);
  }
  return keys;
}

}  // namespace steerlm
