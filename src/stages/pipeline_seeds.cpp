// A pipeline over several seeds, and what its evaluations say of them together.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdio>
#include <map>
#include <optional>
#include <set>

#include "stages/keep_changed.h"
#include "stages/pipeline_step.h"
#include "stages/places.h"
#include "stages/step_process.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/version.h"
#include "steerlm/eval/correlation.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/recipe_files.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

constexpr const char* seeds_stage = "seeds";
constexpr std::array table_names{"seeds.json", "seeds.txt"};

std::string folder_of(std::int64_t seed) { return "seed-" + std::to_string(seed); }

std::vector<std::string> overrides_of(const std::vector<std::string>& overrides, const Path& run_dir,
                                      std::int64_t seed) {
  std::vector<std::string> all = overrides;
  all.push_back("seed=" + std::to_string(seed));
  all.push_back("run_dir=" + (run_dir / folder_of(seed)).string());
  return all;
}

void refuse_repeated(const std::vector<std::int64_t>& seeds) {
  std::set<std::int64_t> found;
  for (const std::int64_t seed : seeds) {
    if (found.insert(seed).second) continue;
    fail(ExitCode::recipe, {.what = "a seed that is named twice", .where = "--seeds", .found = std::to_string(seed)});
  }
}

// Before the first one runs for hours.
void refuse_shared_outputs(const std::vector<Step>& steps, std::set<std::string>& outputs) {
  for (const Step& step : steps) {
    for (const std::string& output : recipe_outputs(step.recipe)) {
      if (outputs.insert(place_of(output).string()).second) continue;
      fail(ExitCode::recipe, {.what = "two seeds would write one output: that of step " + step.name,
                              .where = output,
                              .expected = "a path below the step's run directory, which each seed has of its own",
                              .advice = "write \"@self/" + Path(output).filename().string() + "\" there, and \"@" +
                                        step.name + "/…\" where a later step reads it"});
    }
  }
}

// "/predictor/quality/mae" -> 0.7: the numbers of an evaluation.json that its tables show. Lists (levels, bins,
// intervals) are none of them, nor is what describes the measurement.
void collect(const Json& json, const std::string& at, std::map<std::string, double>& figures,
             std::vector<std::string>& order) {
  if (json.is_object()) {
    for (const auto& [key, value] : json.items()) collect(value, at.empty() ? key : at + " " + key, figures, order);
  } else if (json.is_number()) {
    if (figures.emplace(at, json.get<double>()).second) order.push_back(at);
  }
}

// Throws resources for a folder that no run has made, and for a foreign file in the place of a table; recipe for the
// folder of another run.
void check_folder(const Path& run_dir) {
  if (!RunFiles::holds_run(run_dir)) return;
  const RunFiles files = RunFiles::read(run_dir);
  if (files.mark().value("stage", "") != seeds_stage) {
    fail(ExitCode::recipe, {.what = "the folder holds a run of its own, not one a seed",
                            .where = run_dir.string(),
                            .advice = "choose another run_dir"});
  }
  for (const char* name : table_names) files.refuse_foreign(name);
}

// Whether the folder has both tables as they were written, and a run of each seed. What the runs are now, their own
// pipelines say.
bool is_finished(const Path& run_dir, const std::vector<std::int64_t>& seeds) {
  if (RunFiles::look(run_dir).kind != RunFiles::Place::Kind::marked) return false;
  const RunFiles files = RunFiles::read(run_dir);
  return std::ranges::all_of(seeds, [&](std::int64_t seed) { return files.owns_run(folder_of(seed)); }) &&
         std::ranges::all_of(table_names,
                             [&](const char* name) { return files.owns(name) && files.differences(name).empty(); });
}

}  // namespace

int run_pipeline_seeds(const std::string& recipe_path, const std::vector<std::string>& overrides,
                       const std::vector<std::int64_t>& seeds, const std::string& program, const Context& context) {
  refuse_repeated(seeds);
  if (recipe_path == "-") {
    fail(ExitCode::recipe, {.what = "the recipe is read once for each seed, and standard input can be read only once",
                            .where = "--seeds",
                            .advice = "write it to a file first"});
  }
  const Pipeline pipeline = load_pipeline(recipe_path, overrides);
  if (pipeline.max_minutes > 0) stop_after(60 * pipeline.max_minutes, "max_minutes");  // of all seeds together
  const Path run_dir = pipeline.run_dir;
  std::set<std::string> outputs;
  for (const std::int64_t seed : seeds)
    refuse_shared_outputs(make_steps(load_pipeline(recipe_path, overrides_of(overrides, run_dir, seed))), outputs);
  check_folder(run_dir);
  std::optional<RunFiles> files;  // none until something is written: what is finished may be read-only
  const auto writing = [&]() -> RunFiles& {
    if (!files)
      files.emplace(RunFiles::open(run_dir, {{"made_by", "steerlm " + program_version()}, {"stage", seeds_stage}}));
    return *files;
  };
  const bool finished = !context.fresh && is_finished(run_dir, seeds);
  const bool writes = !context.dry_run && !finished;
  if (writes) {
    for (const char* name : table_names) keep_changed(writing(), name, context);
  }

  for (const std::int64_t seed : seeds) {
    if (writes) writing().enter_run(folder_of(seed));
    std::vector<std::string> arguments{"pipeline", recipe_path};
    for (const std::string& text : overrides_of(overrides, run_dir, seed)) arguments.push_back(text);
    for (const auto& [given, option] :
         {std::pair{context.quiet, "--quiet"}, std::pair{context.dry_run, "--dry-run"},
          std::pair{context.fresh, "--fresh"}, std::pair{context.overwrite, "--overwrite"}}) {
      if (given) arguments.push_back(option);
    }
    const int code = run_step({fmt::format("seed {}", seed), arguments, ""}, program, context);
    if (code != 0) return code;
  }
  if (context.dry_run) return 0;

  std::vector<std::vector<std::string>> rows{{"step", "figure"}};
  for (const std::int64_t seed : seeds) rows[0].push_back("seed " + std::to_string(seed));
  rows[0].insert(rows[0].end(), {"mean", "standard deviation"});
  Json json = {{"seeds", seeds}, {"figures", Json::array()}};
  for (const PipelineStep& step : pipeline.steps) {
    if (step.stage != Stage::evaluate) continue;
    std::vector<std::map<std::string, double>> of_seeds;
    std::vector<std::string> order;
    for (const std::int64_t seed : seeds) {
      const Path file = run_dir / folder_of(seed) / step.name / "evaluation.json";
      collect(parse_json(read_file(file, ExitCode::resources, "evaluation"), file.string(), ExitCode::resources), "",
              of_seeds.emplace_back(), order);
    }
    std::set<std::string> told;
    for (const std::string& figure : order) {
      if (!told.insert(figure).second) continue;
      std::vector<std::string> cells{step.name, figure};
      std::vector<double> values;
      Json all = Json::array();
      for (const auto& figures : of_seeds) {
        const auto found = figures.find(figure);
        if (found != figures.end()) values.push_back(found->second);
        all.push_back(found == figures.end() ? Json() : Json(found->second));
        cells.push_back(found == figures.end() ? "–" : format_number(found->second, 3));
      }
      const double centre = mean(values), spread = standard_deviation(values);
      cells.insert(cells.end(), {format_number(centre, 3), format_number(spread, 3)});
      rows.push_back(std::move(cells));
      json["figures"].push_back({{"step", step.name},
                                 {"figure", figure},
                                 {"values", all},
                                 {"mean", number_or_null(centre)},
                                 {"standard_deviation", number_or_null(spread)}});
    }
  }
  const std::string text =
      rows.size() > 1 ? format_table(rows) : "no step of the pipeline is an evaluation: there are no figures\n";
  const auto write = [&](const char* name, const std::string& bytes) {
    if (!finished || read_file(run_dir / name, ExitCode::resources, "table") != bytes) writing().write(name, bytes);
  };
  write("seeds.json", json.dump(2) + "\n");
  write("seeds.txt", text);
  if (files) files->compact();
  std::fputs(text.c_str(), stdout);
  return 0;
}

}  // namespace steerlm
