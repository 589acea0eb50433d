#include "stages/run_comparison.h"

#include "steerlm/core/paths.h"
#include "steerlm/core/run_place.h"
#include "steerlm/data/block_job.h"
#include "steerlm/recipe/compare.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/recipe_files.h"

namespace steerlm {

bool has_results(const RunFiles& files) {
  const auto has = [&](const char* name) {
    return files.owns(name) && is_there(files.root() / name, ExitCode::resources);
  };
  const auto has_part = [&](const char* name) {  // the first one of bootstrap or steerlm2
    const Path part = files.root() / name;
    return files.owns(name) && RunFiles::look(part).kind == RunFiles::Place::Kind::marked &&
           has_results(RunFiles::read(part));
  };
  return has("done.json") || has("ledger.jsonl") || has_part("sample") || has_part("sample-1") ||
         !files.folders_in("checkpoints").empty();
}

namespace {

// Of inputs that an earlier run has read, those in the folder that was `before` under the names that they have in
// `now`.
Json inputs_now(const Json& inputs, const std::string& before, const std::string& now) {
  Json moved = inputs;
  if (before.empty() || now.empty() || before == now) return moved;
  for (Json& input : moved) {
    if (!input.is_object() || !input.contains("path") || !input["path"].is_string()) continue;
    const std::string path = input["path"].get<std::string>();
    if (path.starts_with(before + "/")) input["path"] = now + path.substr(before.size());
  }
  return moved;
}

// What sets the inputs apart from those that the run in `root` has read. What the runs in `folder` make of each other
// has moved with it from `old_folder`.
void compare_inputs(const Path& root, const std::string& old_folder, const std::string& folder, const Recipe& recipe,
                    const Json& inputs, std::vector<std::string>& changed) {
  const Path path = root / "environment.json";
  if (!is_there(path, ExitCode::resources)) {
    changed.push_back("its environment.json is gone, which names its inputs");
    return;
  }
  const Json environment =
      parse_json(read_file(path, ExitCode::resources, "the run's environment"), path.string(), ExitCode::resources);
  if (!environment.is_object() || !environment.contains("inputs") || !environment["inputs"].is_array()) {
    changed.push_back("its environment.json names no inputs");
    return;
  }
  const Json before = inputs_now(environment["inputs"], old_folder, folder);
  for (const std::string& difference : input_differences(recipe, before, inputs)) changed.push_back(difference);
}

}  // namespace

std::vector<std::string> run_differences(const RunFiles& files, const Recipe& recipe, const Json& inputs) {
  const std::string stage(enum_name(recipe.stage));
  if (files.mark().value("stage", "") != stage) return {"stage: " + files.mark().value("stage", "") + " -> " + stage};
  // A run that ended before its first step or block has computed nothing by its recipe either.
  if (!has_results(files) && !is_there(files.root() / "metrics.jsonl", ExitCode::resources)) return {};
  if (!is_there(files.root() / "recipe.yaml", ExitCode::resources)) {
    if (!has_results(files)) return {};
    return {"its recipe.yaml is gone"};
  }
  const std::string before = read_file(files.root() / "recipe.yaml", ExitCode::resources, "the run's recipe"),
                    now = dump_recipe(recipe);
  // Any of the run directories around it may be the one that was moved, or into which it was.
  int level = runs_around(files.root());
  std::vector<std::string> changed = differing_keys(before, now, level);
  for (int inner = level - 1; inner >= 0 && !changed.empty(); --inner) {
    if (!differing_keys(before, now, inner).empty()) continue;
    changed.clear();
    level = inner;
  }
  if (has_results(files))
    compare_inputs(files.root(), folder_above(before, level), folder_above(now, level), recipe, inputs, changed);
  if (!changed.empty()) return changed;
  for (const std::string& output : recipe_outputs(recipe)) {
    // Of the same name, seen from another current directory or through a link that leads elsewhere now.
    if (const auto other = BlockOutput::other_place(output, files.root() / ledger_name))
      changed.push_back("output: " + other->string() + " -> " + absolute_place(output).string());
  }
  return changed;
}

}  // namespace steerlm
