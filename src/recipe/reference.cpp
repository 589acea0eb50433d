#include "steerlm/recipe/reference.h"

#include <algorithm>
#include <functional>
#include <map>

#include "recipe/describe.h"
#include "recipe/resolve.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

struct Row {
  std::string path, expected, meaning, standard;
  bool section = false;
  std::vector<std::string> stages;
};

std::string default_text(const KeyInfo& key) {
  if (key.type == KeyInfo::Type::section) return key.off ? "off" : "";
  if (key.off) return "none";
  if (key.shape == Shape::all_or_list && key.value.items.empty()) return "`all`";
  const std::string text = flow_text(key.value);
  return text == "\"\"" || text == "[]" || text == "{}" ? "none" : "`" + text + "`";
}

void for_each_key(const std::vector<KeyInfo>& keys, const std::string& above,
                  const std::function<void(const std::string&, const KeyInfo&)>& act) {
  for (const KeyInfo& key : keys) {
    const std::string path = above + key.name;
    act(path, key);
    if (key.type == KeyInfo::Type::section) for_each_key(key.children, path + ".", act);
  }
}

// The defaults of one key in a stage, method by method; empty where they are all the same.
std::map<std::string, std::vector<std::string>> method_defaults(Stage stage) {
  std::map<std::string, std::vector<std::string>> defaults;
  for (const auto& [method, name] : EnumNames<Method>::table) {
    Recipe recipe{.stage = stage, .method = method};
    apply_method_defaults(recipe);
    for_each_key(describe(recipe), "",
                 [&](const std::string& path, const KeyInfo& key) { defaults[path].push_back(default_text(key)); });
  }
  const auto same = [](const auto& item) {
    return std::all_of(item.second.begin(), item.second.end(),
                       [&](const auto& text) { return text == item.second[0]; });
  };
  std::erase_if(defaults, same);
  defaults.erase("method");
  return defaults;
}

// Whether the key's default in this stage is what a model folder says.
bool leaves_to_folder(Stage stage, std::string_view path) {
  return has_folder_attributes(stage) && path.starts_with("attributes.");
}

// Keys in the order in which the stages name them; the same key of several stages is one row.
std::vector<Row> collect_rows() {
  std::vector<Row> rows;
  const auto predictor = method_defaults(Stage::train_predictor), sft = method_defaults(Stage::sft);
  for (const auto& [stage, unused] : EnumNames<Stage>::table) {
    for_each_key(describe({.stage = stage}), "", [&, stage = stage](const std::string& path, const KeyInfo& key) {
      const bool by_method = predictor.contains(path) || sft.contains(path);
      const std::string standard = leaves_to_folder(stage, path) ? "the model folder's"
                                   : by_method                   ? "by method"
                                   : path == "stage"             ? "none"
                                                                 : default_text(key);
      const auto same = [&](const Row& row) {
        return row.path == path && row.meaning == key.meaning && row.standard == standard;
      };
      auto row = std::find_if(rows.begin(), rows.end(), same);
      if (row == rows.end()) {
        row = rows.insert(rows.end(),
                          {path, expected_text(key), key.meaning, standard, key.type == KeyInfo::Type::section, {}});
      }
      row->stages.emplace_back(enum_name(stage));
    });
  }
  return rows;
}

std::string method_table(const std::vector<Row>& rows) {
  std::string text = "| key | stage | " + join(enum_choices<Method>(), " | ") + " |\n| --- | --- | --- | --- | --- |\n";
  const auto predictor = method_defaults(Stage::train_predictor), sft = method_defaults(Stage::sft);
  const auto line = [&](const std::string& path, std::string_view stages, const auto& defaults) {
    const auto found = defaults.find(path);
    if (found != defaults.end())
      text += "| `" + path + "` | " + std::string(stages) + " | " + join(found->second, " | ") + " |\n";
  };
  for (const Row& row : rows) {
    if (row.standard != "by method") continue;
    const auto a = predictor.find(row.path), b = sft.find(row.path);
    const bool alike = a != predictor.end() && b != sft.end() && a->second == b->second;
    const std::string trained = leaves_to_folder(Stage::bootstrap, row.path) ? "sft" : "sft, bootstrap";
    line(row.path, alike ? "train-predictor, " + trained : "train-predictor", predictor);
    if (!alike) line(row.path, trained, sft);
  }
  return text;
}

std::string stages_text(const std::vector<std::string>& stages) {
  return stages.size() == EnumNames<Stage>::table.size() ? "all" : join(stages);
}

void write_rows(const std::vector<Row>& rows, const std::string& section, std::string& text) {
  text += "| key | default | value | stages | meaning |\n| --- | --- | --- | --- | --- |\n";
  for (const Row& row : rows) {
    const std::string top = row.path.substr(0, row.path.find('.'));
    const bool inside = top.size() < row.path.size();
    if (section.empty() ? !inside && !row.section : inside && top == section) {
      text += "| `" + row.path + "` | " + row.standard + " | " + row.expected + " | " + stages_text(row.stages) +
              " | " + row.meaning + " |\n";
    }
  }
}

constexpr std::string_view introduction = R"(# Recipes

This page is what `steerlm recipe schema --markdown` prints. A recipe is a YAML file for one stage; `steerlm recipe check FILE` checks it,
`steerlm recipe show FILE` prints it with every default filled in, and `key=value` after the file changes a key for one run
(`optimizer.learning_rate=1e-5`, `data.train[0].path=x`, `attributes.names='[quality, humor]'`). `key=null` or `'~key'` unsets a key that
the recipe sets: its default holds (`data.validation=null`, `data.train[1]=null`).

A recipe is UTF-8, at most 1 MB and 16 levels deep, one document, without anchors, aliases, merge keys and tags. An unknown or repeated
key, a wrong type and a value out of range are errors, and so is a key of another stage. All faults are reported at once.
`true` and `false` are the only booleans; `1e-5` is a number; what stands in quotes is a text.

Paths are relative to the current directory.

## Keys that must be given

| stage | keys |
| --- | --- |
)";

constexpr std::string_view method_notes = R"(
## Defaults that the method sets

)";

constexpr std::string_view method_rules = R"(
`train.epochs` and `train.steps` exclude each other; giving one drops the method's default of the other. A recipe that gives
`attributes.names` or a range takes no `attributes.defaults` from the method. steerlm2 has the published settings of SteerLM 2.0 whatever
the method is: `optimizer.learning_rate: 1.0e-07`, `train.epochs: 2`, `train.batch_size: 128` (prompts, each with its responses).

What a recipe leaves out of `template` is the model folder's, where there is one: what its steerlm.json says, else what the chat template
of its tokenizer writes (ChatML, Llama 3's; of another kind it must be given), else the default. steerlm2, annotate and generate take the
attributes of their model folders. So do bootstrap and evaluate: what they give of `attributes` must be what the folder says. What
train-predictor and sft leave out of `attributes` is the folder's where it has attributes, key by key, and attribute by attribute of
`attributes.defaults`; else the method's. Names and range that they give must be the folder's. An sft without `attributes`, from a folder
that has none, takes none if no training record has a label, and the model has no dials. `attributes: {names: []}` asks for that. Names
that are given while no training record has a label are an error, unless every source says `labels: drop`.

## Keys outside of sections

)";

constexpr std::string_view sources_text = R"(
## Sources

A source is a section with these keys, or the path alone; a list of one source may be written as that source. So
`data: {train: FILE}` is enough, and likewise `model: DIR`.

)";

constexpr std::string_view pipeline_text = R"(
## Pipelines

`steps` is a list; a step is a section with a `name` (letters, digits, `_`, `-`), a `stage` and the keys of that stage's recipe, less
`run_dir`: it runs in `run_dir/NAME` of the pipeline. `"@NAME/…"` in a path of a step means the run directory of that earlier step
(in quotes, because `@` is reserved in YAML), and `"@self/…"` that of the step itself: where outputs are given so, `seed=2 run_dir=runs/2`
on the command line makes another run of the whole. `steps.NAME.key=value` there changes a step, `steps.NAME.key=null` unsets a key of
it, and `steps.NAME=null` leaves the step out. `method`, `seed`, `device`, `precision`, `attributes` and `template` of the pipeline are the
defaults of the steps that use them; evaluate and bootstrap take no `attributes` from there, annotate and generate no `template`, since
these are their model folders'.
)";

}  // namespace

std::string recipe_reference() {
  const std::vector<Row> rows = collect_rows();
  std::string text(introduction);
  for (const auto& [stage, name] : EnumNames<Stage>::table) {
    std::string keys = "`stage`";
    for (std::string_view key : required_keys(stage)) keys.append(", `").append(key).append("`");
    text.append("| ").append(name).append(" | ").append(keys).append(" |\n");
  }
  text += std::string(method_notes) + method_table(rows) + std::string(method_rules);
  write_rows(rows, "", text);
  std::vector<std::string> sections;
  for (const Row& row : rows) {
    const bool top_level = row.section && row.path.find('.') == std::string::npos;
    if (top_level && std::find(sections.begin(), sections.end(), row.path) == sections.end())
      sections.push_back(row.path);
  }
  for (const std::string& section : sections) {
    text += "\n## `" + section + "`\n\n";
    write_rows(rows, section, text);
  }
  text += std::string(sources_text) + "| key | default | value | meaning |\n| --- | --- | --- | --- |\n";
  for (const KeyInfo& key : describe({.stage = Stage::generate})) {
    if (key.name != "prompts") continue;
    for (const KeyInfo& item : key.children)
      text +=
          "| `" + item.name + "` | " + default_text(item) + " | " + expected_text(item) + " | " + item.meaning + " |\n";
  }
  return text + std::string(pipeline_text);
}

}  // namespace steerlm
