#include "recipe/paths.h"

#include <algorithm>
#include <utility>

#include "steerlm/core/paths.h"

namespace steerlm {
namespace {

bool is_path(const Yaml* node) { return node != nullptr && node->kind == Yaml::Kind::scalar && !is_null(*node); }

// A path, or one source.
void make_list(Yaml* node) {
  if (!is_path(node) && (node == nullptr || node->kind != Yaml::Kind::mapping)) return;
  Yaml list{.kind = Yaml::Kind::sequence, .where = node->where};
  list.items.push_back(std::move(*node));
  *node = std::move(list);
}

// Keys whose texts name files and folders, wherever they stand.
constexpr std::string_view path_keys[] = {
    "run_dir",     "path",  "tokenizer", "predictor", "policy",           "output",
    "labels_from", "model", "input",     "prior",     "prompts",          "train",
    "validation",  "edges", "features",  "sources",   "perplexity_model", "cache_dir"};

void check_paths_below(const Yaml& node, std::string_view key, std::vector<Fault>& faults) {
  if (node.kind == Yaml::Kind::scalar &&
      std::find(std::begin(path_keys), std::end(path_keys), key) != std::end(path_keys)) {
    if (std::optional<Fault> fault = unexpanded(node.text)) {
      fault->where = node.where;
      faults.push_back(std::move(*fault));
    }
  }
  for (const YamlEntry& entry : node.entries) check_paths_below(entry.value, entry.key, faults);
  for (const Yaml& item : node.items) check_paths_below(item, key, faults);
}

}  // namespace

void expand_short_forms(Yaml& tree, Stage stage) {
  Yaml* const model = find(tree, "model");
  if (stage != Stage::generate && is_path(model)) {
    Yaml section{.kind = Yaml::Kind::mapping, .where = model->where};
    section.entries.push_back({"path", model->where, std::move(*model)});
    *model = std::move(section);
  }
  for (const auto& [section, key] : {std::pair{"data", "train"}, std::pair{"data", "validation"},
                                     std::pair{"dials", "prompts"}, std::pair{"pairs", "sources"}}) {
    if (Yaml* const node = find(tree, section)) make_list(find(*node, key));
  }
  for (const char* key : {"input", "prompts"}) make_list(find(tree, key));
}

void check_paths(const Yaml& tree, std::vector<Fault>& faults) { check_paths_below(tree, "", faults); }

}  // namespace steerlm
