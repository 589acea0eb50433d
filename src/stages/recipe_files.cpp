#include "steerlm/stages/recipe_files.h"

#include <algorithm>
#include <map>

#include "steerlm/core/paths.h"
#include "steerlm/hf/adapter.h"
#include "steerlm/recipe/load.h"

namespace steerlm {
namespace {

void add_sources(std::vector<RecipeInput>& inputs, const std::vector<SourceOptions>& sources) {
  for (const SourceOptions& source : sources) inputs.push_back({source.path, ExitCode::data});
}

// Standard input among them, and empty ones.
std::vector<RecipeInput> all_inputs(const Recipe& r) {
  std::vector<RecipeInput> inputs;
  const auto add_model = [&](const std::string& path) { inputs.push_back({path, ExitCode::model}); };
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
    case Stage::steerlm2:
      add_model(r.steerlm2.policy);
      add_model(r.steerlm2.prior);
      add_model(r.steerlm2.predictor);
      add_sources(inputs, r.steerlm2.prompts);
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
      if (r.dials) add_data(r.dials->edges);
      if (r.dials) add_model(r.dials->perplexity_model);
      if (r.pairs) add_sources(inputs, r.pairs->sources);
      break;
    case Stage::pipeline:
      break;
  }
  return inputs;
}

}  // namespace

std::vector<RecipeInput> named_inputs(const Recipe& recipe) {
  std::vector<RecipeInput> inputs = all_inputs(recipe);
  std::erase_if(inputs, [](const RecipeInput& input) { return input.path.empty() || input.path == "-"; });
  return inputs;
}

namespace {

std::vector<RecipeInput> with_bases(const std::vector<RecipeInput>& named) {
  std::vector<RecipeInput> inputs;
  for (const RecipeInput& input : named) {
    inputs.push_back(input);
    if (input.missing != ExitCode::model || !is_adapter_folder(input.path)) continue;
    const std::string base = read_adapter_config(input.path).base;
    if (!base.empty()) inputs.push_back({base, ExitCode::model});
  }
  return inputs;
}

Json describe_file(const Path& path, ExitCode missing, KnownFiles& known) {
  return {{"path", utf8_text(path)}, {"sha256", known.sha256(path, missing)}, {"size", file_bytes(path, missing)}};
}

}  // namespace

std::vector<RecipeInput> inputs_of(const Recipe& recipe) { return with_bases(named_inputs(recipe)); }

bool reads_standard_input(const Recipe& recipe) {
  return std::ranges::any_of(all_inputs(recipe), [](const RecipeInput& input) { return input.path == "-"; });
}

void check_standard_input(const Recipe& recipe, const std::string& recipe_path) {
  const bool recipe_itself = recipe_path == "-";
  const auto times =
      std::ranges::count_if(all_inputs(recipe), [](const RecipeInput& input) { return input.path == "-"; });
  if (times + recipe_itself <= 1) return;
  fail(ExitCode::recipe,
       {.what = "standard input can be read only once",
        .found = recipe_itself ? "the recipe and data from it" : std::to_string(times) + " inputs of it",
        .advice = "write one of them to a file first"});
}

void refuse_standard_input(const Recipe& recipe, const std::string& where) {
  if (!reads_standard_input(recipe)) return;
  fail(ExitCode::recipe, {.what = "standard input cannot be read by several processes, and each part of this is one",
                          .where = where,
                          .found = "'-'",
                          .advice = "write the data to a file first"});
}

std::vector<std::string> recipe_inputs(const Recipe& recipe) {
  std::vector<std::string> paths;
  for (const RecipeInput& input : inputs_of(recipe)) paths.push_back(input.path);
  return paths;
}

Json describe_inputs(const Recipe& recipe, KnownFiles& known) { return describe_inputs(named_inputs(recipe), known); }

Json describe_inputs(std::vector<RecipeInput> inputs, KnownFiles& known) {
  std::erase_if(inputs, [](const RecipeInput& input) { return input.path.empty() || input.path == "-"; });
  Json described = Json::array();
  for (const RecipeInput& input : with_bases(inputs)) {
    if (!is_folder(input.path, input.missing)) {
      described.push_back(describe_file(input.path, input.missing, known));
      continue;
    }
    for (const Path& file : files_of(input.path, input.missing))
      described.push_back(describe_file(file, input.missing, known));
  }
  return described;
}

namespace {

// Those of described inputs that one input of a recipe stands for: the file, or the files of the folder.
std::map<std::string, Json> files_at(const std::string& input, const Json& described) {
  const std::string name = utf8_text(input), folder = utf8_text(Path(input) / "");
  std::map<std::string, Json> files;
  for (const Json& file : described) {
    if (!file.is_object() || !file.contains("path") || !file["path"].is_string()) continue;
    const std::string path = file["path"].get<std::string>();
    const bool inside = path.starts_with(folder) && path.find('/', folder.size()) == std::string::npos;
    if (path == name || inside) files.emplace(path, file);
  }
  return files;
}

}  // namespace

std::vector<std::string> input_differences(const Recipe& recipe, const Json& before, const Json& now) {
  std::map<std::string, Json> old_files, new_files;
  for (const RecipeInput& input : inputs_of(recipe)) {
    std::map<std::string, Json> old_ones = files_at(input.path, before);
    if (old_ones.empty()) continue;
    old_files.merge(old_ones);
    new_files.merge(files_at(input.path, now));
  }
  std::vector<std::string> differences;
  for (const auto& [path, file] : new_files) {
    const auto old_file = old_files.find(path);
    if (old_file == old_files.end())
      differences.push_back("the input " + path + " is new");
    else if (old_file->second != file)
      differences.push_back("the input " + path + " has changed");
  }
  for (const auto& [path, file] : old_files) {
    if (!new_files.contains(path)) differences.push_back("the input " + path + " is gone");
  }
  return differences;
}

Path data_cache_folder(const Recipe& recipe) {
  const bool predictor = recipe.stage == Stage::train_predictor && recipe.head.kind != PredictorKind::ridge;
  const bool steerlm2 = recipe.stage == Stage::steerlm2 && recipe.steerlm2.prompts.empty();
  if (recipe.stage != Stage::sft && !predictor && !steerlm2) return {};
  if (!recipe.data.cache_dir.empty()) return recipe.data.cache_dir;
  return recipe.run_dir.empty() ? Path() : Path(recipe.run_dir) / "data";
}

KnownFiles known_inputs(const Recipe& recipe) {
  const Path folder = data_cache_folder(recipe);
  return folder.empty() ? KnownFiles() : KnownFiles(folder / known_files_name);
}

std::vector<std::string> steerlm2_parts(std::int64_t iteration) {
  std::vector<std::string> names{"sample", "prior", "policy", "predictor", "train"};
  for (std::string& name : names) name += "-" + std::to_string(iteration);
  return names;
}

std::vector<std::string> steerlm2_outputs(std::int64_t iteration) {
  std::vector<std::string> names{"sampled", "with-prior", "with-policy", "responses"};
  for (std::string& name : names) name += "-" + std::to_string(iteration) + ".jsonl";
  return names;
}

std::vector<std::string> recipe_outputs(const Recipe& recipe) {
  switch (recipe.stage) {
    case Stage::tokenizer:
      return {recipe.tokenizer.output};
    case Stage::annotate:
      return {recipe.annotate.output};
    case Stage::generate:
      return {recipe.generate.output};
    default:
      return {};
  }
}

std::vector<SourceOptions> record_sources(const Recipe& r) {
  std::vector<SourceOptions> sources;
  const auto add = [&](const std::vector<SourceOptions>& more) {
    for (const SourceOptions& source : more) {
      if (source.path != "-") sources.push_back(source);
    }
  };
  if (r.stage == Stage::tokenizer) {
    for (const std::string& path : r.tokenizer.input) add({{.path = path, .format = r.tokenizer.format}});
  } else if (r.stage == Stage::annotate) {
    add(r.annotate.input);
  } else {
    add(r.data.train);
    add(r.data.validation);
  }
  if (!r.bootstrap.labels_from.empty()) add({{.path = r.bootstrap.labels_from}});
  return sources;
}

ReadOptions read_options(const Recipe& recipe) {
  // Labels are written over: those of other attributes, and weights of turns, are nobody's fault there.
  if (recipe.stage == Stage::annotate) {
    const bool keep = recipe.annotate.human_labels == HumanLabels::keep;
    return {.labels = keep ? Labels::kept : Labels::ignored, .weights = false};
  }
  if (recipe.stage == Stage::tokenizer) return {.labels = Labels::ignored, .weights = false};
  if (recipe.stage == Stage::train_predictor && is_pairwise(recipe.head.loss))
    return {.labels = Labels::dropped, .weights = false};
  return {};
}

void settle_ratings(Recipe& recipe) {
  const bool trains = recipe.stage == Stage::train_predictor || recipe.stage == Stage::sft;
  const bool open = trains && recipe.method == Method::steerlm && !recipe.attributes_given;
  if (!open || !are_rated_as_helpsteer(recipe.data.train)) return;
  recipe.attributes = method_attributes(Method::helpsteer2);
  recipe.attributes_given = {.all = true};
}

std::vector<SourceOptions> pair_sources(const Recipe& recipe) {
  std::vector<SourceOptions> sources;
  if (recipe.pairs) sources = recipe.pairs->sources;
  std::erase_if(sources, [](const SourceOptions& source) { return source.path == "-"; });
  return sources;
}

std::vector<SourceOptions> prompt_sources(const Recipe& r) {
  std::vector<SourceOptions> sources = r.stage == Stage::bootstrap  ? r.bootstrap.prompts
                                       : r.stage == Stage::steerlm2 ? r.steerlm2.prompts
                                                                    : r.generate.prompts;
  if (r.dials) sources.insert(sources.end(), r.dials->prompts.begin(), r.dials->prompts.end());
  std::erase_if(sources, [](const SourceOptions& source) { return source.path == "-"; });
  return sources;
}

}  // namespace steerlm
