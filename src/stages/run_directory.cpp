#include "steerlm/stages/run_directory.h"

#include <algorithm>
#include <filesystem>

#include "stages/environment.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/hf/adapter.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

struct Input {
  std::string path;
  ExitCode missing;
};

void add_sources(std::vector<Input>& inputs, const std::vector<SourceOptions>& sources) {
  for (const SourceOptions& source : sources) inputs.push_back({source.path, ExitCode::data});
}

std::vector<Input> inputs_of(const Recipe& r) {
  std::vector<Input> inputs;
  const auto add_model = [&](const std::string& path) {
    inputs.push_back({path, ExitCode::model});
    if (!path.empty() && is_adapter_folder(path)) inputs.push_back({read_adapter_config(path).base, ExitCode::model});
  };
  const auto add_data = [&](const std::string& path) { inputs.push_back({path, ExitCode::data}); };
  switch (r.stage) {
    case Stage::tokenizer:
      for (const std::string& path : r.tokenizer.input) add_data(path);
      break;
    case Stage::train_predictor:
    case Stage::sft:
      add_model(r.model.path);
      add_model(r.model.tokenizer);
      add_sources(inputs, r.data.train);
      add_sources(inputs, r.data.validation);
      break;
    case Stage::annotate:
      add_model(r.annotate.predictor);
      add_sources(inputs, r.annotate.input);
      break;
    case Stage::bootstrap:
      add_model(r.bootstrap.policy);
      add_model(r.bootstrap.predictor);
      add_model(r.model.path);
      add_sources(inputs, r.bootstrap.prompts);
      add_data(r.bootstrap.labels_from);
      add_sources(inputs, r.data.train);
      add_sources(inputs, r.data.validation);
      break;
    case Stage::generate:
      add_model(r.generate.model);
      add_sources(inputs, r.generate.prompts);
      break;
    case Stage::evaluate:
      add_model(r.model.path);
      add_model(r.predictor);
      add_sources(inputs, r.data.validation);
      if (r.dials) add_sources(inputs, r.dials->prompts);
      break;
    case Stage::pipeline:
      break;
  }
  std::erase_if(inputs, [](const Input& input) { return input.path.empty() || input.path == "-"; });
  return inputs;
}

Json describe_file(const Path& path, ExitCode missing) {
  return {{"path", utf8_text(path)}, {"sha256", sha256_file(path, missing)}, {"size", file_bytes(path, missing)}};
}

// What of a run directory is ours to remove.
void remove_run(const Path& path) {
  for (const char* name :
       {"done.json", "checkpoints", "model", "model.part", "metrics.jsonl", "log.txt", "environment.json",
        "ledger.jsonl", "evaluation.json", "evaluation.txt", "sample", "annotate", "sft", "recipe.yaml"}) {
    steerlm::remove_all(path / name);
  }
}

// Something was computed from the inputs: a run that ended on a damaged one has not got that far.
bool has_results(const Path& path) {
  return std::ranges::any_of(std::vector<std::string>{"done.json", "checkpoints", "ledger.jsonl", "sample"},
                             [&](const std::string& name) { return is_there(path / name, ExitCode::resources); });
}

// What keeps the run in `path` from being one of this recipe and these inputs; empty: nothing.
std::vector<std::string> differences(const Path& path, const Recipe& recipe, const Json& inputs) {
  std::vector<std::string> changed =
      differing_keys(read_file(path / "recipe.yaml", ExitCode::resources, "the run's recipe"), dump_recipe(recipe));
  if (!is_there(path / "environment.json", ExitCode::resources) || !has_results(path)) return changed;
  const Json environment =
      parse_json(read_file(path / "environment.json", ExitCode::resources, "the run's environment"),
                 (path / "environment.json").string(), ExitCode::resources);
  const Json& before = environment.at("inputs");
  for (const Json& input : inputs) {
    const auto same_path =
        std::ranges::find_if(before, [&](const Json& old) { return old.at("path") == input.at("path"); });
    if (same_path != before.end() && *same_path != input)
      changed.push_back("the input " + input.at("path").get<std::string>() + " has changed");
  }
  return changed;
}

// Finished, and not asked to train longer than it did.
bool is_complete(const Path& path, const Recipe& recipe) {
  if (!is_there(path / "done.json", ExitCode::resources)) return false;
  const Recipe before = load_recipe((path / "recipe.yaml").string(), {}, std::nullopt);
  return before.train.steps == recipe.train.steps && before.train.epochs == recipe.train.epochs;
}

}  // namespace

std::vector<std::string> recipe_inputs(const Recipe& recipe) {
  std::vector<std::string> paths;
  for (const Input& input : inputs_of(recipe)) paths.push_back(input.path);
  return paths;
}

Json describe_inputs(const Recipe& recipe) {
  Json described = Json::array();
  for (const Input& input : inputs_of(recipe)) {
    if (!is_folder(input.path, input.missing)) {
      described.push_back(describe_file(input.path, input.missing));
      continue;
    }
    for (const Path& file : files_of(input.path, input.missing))
      described.push_back(describe_file(file, input.missing));
  }
  return described;
}

RunDirectory::RunDirectory(const Recipe& recipe, const Context& context) : path_(recipe.run_dir) {
  inputs_ = describe_inputs(recipe);  // before anything is written: a missing input leaves no folder behind
  const bool had_recipe = is_there(path_ / "recipe.yaml", ExitCode::resources);
  if (!had_recipe && !is_missing_or_empty_directory(path_) && !is_there(path_ / ".lock", ExitCode::resources)) {
    fail(ExitCode::resources, {.what = "the folder is not empty and holds no run",
                               .where = path_.string(),
                               .expected = "a folder that is new, empty or a run directory",
                               .advice = "choose another run_dir"});
  }
  make_directory(path_);
  lock_.emplace(path_);
  if (context.fresh) remove_run(path_);
  context.log->open_file(path_ / "log.txt");
  if (is_there(path_ / "recipe.yaml", ExitCode::resources)) {
    if (const auto changed = differences(path_, recipe, inputs_); !changed.empty()) {
      fail(ExitCode::recipe, {.what = "the folder holds a run of another recipe: " + join(changed, "; "),
                              .where = path_.string(),
                              .advice = "choose another run_dir, or start over with --fresh"});
    }
    state_ = is_complete(path_, recipe) ? State::finished : State::unfinished;
    if (state_ == State::finished) return;
    steerlm::remove_all(path_ / "done.json");
  }
  write_file_atomic(path_ / "environment.json", describe_environment(inputs_).dump(2) + "\n");
  write_file_atomic(path_ / "recipe.yaml", dump_recipe(recipe));
}

void RunDirectory::finish(const Json& summary) { write_file_atomic(path_ / "done.json", summary.dump(2) + "\n"); }

bool is_finished_run(const Path& path, const Recipe& recipe, std::vector<std::string>& changed) {
  changed.clear();
  if (!is_there(path / "recipe.yaml", ExitCode::resources)) return false;
  changed = differences(path, recipe, describe_inputs(recipe));
  return changed.empty() && is_complete(path, recipe);
}

}  // namespace steerlm
