#include "steerlm/stages/recipe_files.h"

#include <algorithm>

#include "steerlm/core/paths.h"
#include "steerlm/hf/adapter.h"

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
    for (const std::string& path : r.tokenizer.input) add({{.path = path}});
  } else if (r.stage == Stage::annotate) {
    add(r.annotate.input);
  } else {
    add(r.data.train);
    add(r.data.validation);
    if (r.pairs) add(r.pairs->sources);
  }
  if (!r.bootstrap.labels_from.empty()) add({{.path = r.bootstrap.labels_from}});
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
