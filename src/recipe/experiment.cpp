#include "steerlm/recipe/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <set>
#include <utility>

#include "recipe/decode.h"
#include "recipe/resolve.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

struct FieldNames {
  std::vector<std::string> names;
  template <class... Rest>
  void operator()(std::string_view name, Rest&&...) {
    names.emplace_back(name);
  }
};

// "seed" of "seed=9" and "~seed".
std::string key_of(const std::string& override_text) {
  const size_t begin = override_text.starts_with('~') ? 1 : 0;
  return override_text.substr(begin, override_text.find('=') - begin);
}

bool is_json_pointer(const std::string& text) {
  try {
    return !text.empty() && !Json::json_pointer(text).empty();
  } catch (const Json::parse_error&) {
    return false;
  }
}

}  // namespace

ExperimentOptions load_experiment(const std::string& path) { return load_experiment(read_recipe(path)); }

ExperimentOptions load_experiment(const RecipeText& file) {
  std::vector<Fault> faults;
  const Yaml tree = read_recipe_tree(file, {}, faults);
  ExperimentOptions experiment;
  FieldNames known;
  experiment.fields(known);
  std::vector<std::string> given;
  for (const YamlEntry& entry : tree.entries) {
    given.push_back(entry.key);
    if (std::ranges::find(known.names, entry.key) != known.names.end()) continue;
    faults.push_back({.what = "unknown key '" + entry.key + "' of an experiment",
                      .where = entry.where,
                      .expected = "one of " + join(known.names),
                      .advice = suggest(entry.key, known.names)});
  }
  // The keys above are not those of a stage's recipe, which the decoder would look for.
  Decoder(Stage::pipeline, faults).section(tree, experiment, "", given);

  const auto fault = [&](const std::string& at, const std::string& what, const std::string& expected = "",
                         const std::string& advice = "") {
    faults.push_back({.what = what, .where = where_of(tree, at), .expected = expected, .advice = advice});
  };
  for (const char* key : {"mirrors", "question", "shows", "cannot_show", "pipeline", "measures"}) {
    if (find(tree, key) == nullptr) fault(key, std::string("missing key '") + key + "' of an experiment");
  }
  for (const auto& [key, list] : {std::pair{"overrides", &experiment.overrides}, {"quick", &experiment.quick}}) {
    for (const std::string& text : *list) {
      const std::string set = key_of(text);
      if (set != "seed" && set != "run_dir") continue;
      fault(key, "'" + set + "' is the experiment's own: each run has another one", "overrides of other keys",
            set == "seed" ? "say with 'seeds' how many runs there are" : "say with --out where the runs are");
    }
  }
  const Yaml* measures = find(tree, "measures");
  if (measures != nullptr && measures->kind == Yaml::Kind::sequence && measures->items.empty())
    fault("measures", "'measures' is empty", "a list of figures, each with name, step and at");
  std::vector<std::string> names;
  for (size_t i = 0; i < experiment.measures.size(); ++i) {
    const MeasureOptions& measure = experiment.measures[i];
    const std::string at = "measures";
    if (measure.name.empty() || measure.step.empty())
      fault(at, "measure " + std::to_string(i + 1) + " lacks 'name' or 'step'");
    if (!is_json_pointer(measure.at))
      fault(at, "'at' of the measure '" + measure.name + "' is no JSON pointer", "such as /dials/humor/own_slope");
    if (std::ranges::find(names, measure.name) != names.end())
      fault(at, "two measures have the name '" + measure.name + "'");
    names.push_back(measure.name);
  }
  const auto check_name = [&](const std::string& name) {
    if (std::ranges::find(names, name) == names.end())
      fault("thresholds", "no measure is named '" + name + "'", "one of " + join(names), suggest(name, names));
  };
  for (const ThresholdOptions& threshold : experiment.thresholds) {
    check_name(threshold.measure);
    if (!threshold.above.empty()) check_name(threshold.above);
    if (!threshold.at_least && !threshold.at_most && threshold.above.empty())
      fault("thresholds", "the threshold of '" + threshold.measure + "' expects nothing", "at_least, at_most or above");
    if (threshold.at_least && threshold.at_most && *threshold.at_least > *threshold.at_most) {
      fault("thresholds", fmt::format("no mean can reach the threshold of '{}': at_least {:g} is above at_most {:g}",
                                      threshold.measure, *threshold.at_least, *threshold.at_most));
    }
    if (threshold.above == threshold.measure && !threshold.measure.empty())
      fault("thresholds", "no measure is above itself, '" + threshold.measure + "'", "another measure in 'above'");
  }
  const std::string given_pipeline = experiment.pipeline;
  if (Path(experiment.pipeline).is_relative())
    experiment.pipeline = (Path(file.name).parent_path() / experiment.pipeline).lexically_normal().string();
  std::error_code error;
  if (!std::filesystem::exists(experiment.pipeline, error)) {
    if (std::optional<Fault> shell = unexpanded(given_pipeline)) {
      shell->where = where_of(tree, "pipeline");
      faults.push_back(std::move(*shell));
    }
  }
  throw_faults(std::move(faults));
  return experiment;
}

std::vector<std::string> overrides_of(const ExperimentOptions& experiment, bool quick) {
  std::vector<std::string> overrides = experiment.overrides;
  if (quick) overrides.insert(overrides.end(), experiment.quick.begin(), experiment.quick.end());
  return overrides;
}

Pipeline load_pipeline_of(const ExperimentOptions& experiment, const std::string& file, bool quick) {
  std::vector<std::string> overrides = overrides_of(experiment, quick);
  overrides.insert(overrides.end(), {"seed=1", "run_dir=run"});
  Pipeline pipeline = load_pipeline(experiment.pipeline, overrides);
  std::vector<std::string> steps;
  for (const PipelineStep& step : pipeline.steps) steps.push_back(step.name);
  for (const MeasureOptions& measure : experiment.measures) {
    if (std::ranges::find(steps, measure.step) != steps.end()) continue;
    fail(ExitCode::recipe, {.what = "the measure '" + measure.name + "' is of a step that the pipeline does not have",
                            .where = file,
                            .found = "step '" + measure.step + "'",
                            .expected = "one of " + join(steps) + ", as " + experiment.pipeline + " says",
                            .advice = suggest(measure.step, steps)});
  }
  return pipeline;
}

}  // namespace steerlm
