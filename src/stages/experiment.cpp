// Experiments: pipelines over several seeds, and the figures that they leave.
#include "steerlm/stages/experiment.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

#include "stages/interval_format.h"
#include "stages/keep_changed.h"
#include "stages/step_process.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/version.h"
#include "steerlm/eval/correlation.h"
#include "steerlm/eval/student.h"
#include "steerlm/recipe/experiment.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

// The runs of an experiment, one folder a seed. The folder's name has a hash of the resolved pipeline: every key that
// has a say in what a run gives, however files, keys and overrides are written.
struct Runs {
  Path folder;
  std::vector<std::string> overrides;
  std::int64_t seeds = 0;
};

// Throws recipe as load_pipeline_of.
Runs runs_of(const std::string& file, const ExperimentOptions& experiment, const ExperimentRun& run) {
  const Pipeline pipeline = load_pipeline_of(experiment, file, run.quick);
  // What each seed sets otherwise is the same in the name.
  const Path folder =
      Path("runs") / (Path(experiment.pipeline).stem().string() + "-" + sha256_hex(pipeline.recipe_yaml).substr(0, 8));
  return {folder, overrides_of(experiment, run.quick), run.seeds.value_or(run.quick ? 1 : experiment.seeds)};
}

// Relative to the folder of the experiments.
std::string run_name(const Runs& runs, std::int64_t seed) {
  return (runs.folder / ("seed-" + std::to_string(seed))).string();
}

Path seed_folder(const Runs& runs, const ExperimentRun& run, std::int64_t seed) {
  return Path(run.output) / run_name(runs, seed);
}

int run_seed(const std::string& title, const ExperimentOptions& experiment, const Runs& runs, const ExperimentRun& run,
             std::int64_t seed, const std::string& program, const Context& context) {
  std::vector<std::string> arguments{"pipeline", experiment.pipeline};
  arguments.insert(arguments.end(), runs.overrides.begin(), runs.overrides.end());
  arguments.push_back("seed=" + std::to_string(seed));
  arguments.push_back("run_dir=" + seed_folder(runs, run, seed).string());
  if (context.quiet) arguments.push_back("--quiet");
  if (context.dry_run) arguments.push_back("--dry-run");
  return run_step({title, arguments, ""}, program, context);
}

double read_figure(const MeasureOptions& measure, const Path& seed_folder) {
  const Path file = seed_folder / measure.step / measure.file;
  const auto refuse = [&](const std::string& what, const std::string& expected) {
    fail(ExitCode::recipe, {.what = what,
                            .where = file.string(),
                            .found = measure.at,
                            .expected = expected,
                            .advice = "mend the measure '" + measure.name + "' of the experiment"});
  };
  std::error_code error;
  if (!std::filesystem::exists(file, error)) refuse("the pipeline has left no such file", "a JSON file of a step");
  Json json;
  try {
    json = Json::parse(read_file(file, ExitCode::recipe, "figures of a step"));
  } catch (const Json::parse_error&) {
    refuse("the file is no JSON", "a JSON file of a step");
  }
  const Json::json_pointer pointer(measure.at);
  if (!json.contains(pointer)) refuse("the file has nothing at the JSON pointer", "a pointer to a number of it");
  const Json& value = json.at(pointer);
  if (value.is_null()) return std::numeric_limits<double>::quiet_NaN();  // a figure that is not defined
  if (value.is_boolean()) return value.get<bool>() ? 1 : 0;
  if (!value.is_number()) refuse("what the JSON pointer names is no number", "a number, true or false");
  return value.get<double>();
}

struct Figure {
  std::vector<double> values;  // one a seed
  double mean = 0;
  Interval interval;
};

Figure make_figure(std::vector<double> values) {
  const double centre = mean(values);
  const Interval interval = interval_of_mean(values);
  return {std::move(values), centre, interval};
}

struct Verdict {
  std::string expected;
  std::string outcome;  // reached, missed, open
};

Verdict judge(const ThresholdOptions& threshold, const std::vector<MeasureOptions>& measures,
              const std::vector<Figure>& figures) {
  const auto figure_of = [&](const std::string& name) -> const Figure& {
    const auto at = std::ranges::find(measures, name, &MeasureOptions::name);
    return figures[static_cast<size_t>(at - measures.begin())];
  };
  const Figure& figure = figure_of(threshold.measure);
  std::vector<std::string> expected;
  bool reached = true, open = std::isnan(figure.mean);  // a figure that is not defined says nothing
  if (threshold.at_least) {
    expected.push_back(fmt::format("at least {:g}", *threshold.at_least));
    reached = reached && figure.mean >= *threshold.at_least;
  }
  if (threshold.at_most) {
    expected.push_back(fmt::format("at most {:g}", *threshold.at_most));
    reached = reached && figure.mean <= *threshold.at_most;
  }
  if (!threshold.above.empty()) {
    expected.push_back("above " + threshold.above);
    const Figure& other = figure_of(threshold.above);
    std::vector<double> differences;
    for (size_t seed = 0; seed < figure.values.size(); ++seed)
      differences.push_back(figure.values[seed] - other.values[seed]);
    const Interval interval = interval_of_mean(differences);
    open = open || std::isnan(interval.low);  // one seed says nothing of the next
    reached = reached && interval.low > 0;
  }
  return {threshold.measure + " " + fmt::format("{}", fmt::join(expected, ", ")), open      ? "open"
                                                                                  : reached ? "reached"
                                                                                            : "missed"};
}

Json results_json(const std::string& name, const ExperimentOptions& experiment, const Runs& runs, bool quick,
                  const std::vector<Figure>& figures, const std::vector<Verdict>& verdicts) {
  Json json = {{"experiment", name},
               {"mirrors", experiment.mirrors},
               {"question", experiment.question},
               {"shows", experiment.shows},
               {"cannot_show", experiment.cannot_show},
               {"version", program_version()},
               {"pipeline", experiment.pipeline},
               {"overrides", runs.overrides},
               {"runs", runs.folder.string()},
               {"quick", quick},
               {"seeds", runs.seeds},
               {"measures", Json::array()},
               {"thresholds", Json::array()}};
  for (size_t m = 0; m < figures.size(); ++m) {
    const MeasureOptions& measure = experiment.measures[m];
    Json row = {{"name", measure.name},
                {"mean", number_or_null(figures[m].mean)},
                {"interval", interval_json(figures[m].interval)},
                {"values", Json::array()}};
    for (const double value : figures[m].values) row["values"].push_back(number_or_null(value));
    if (measure.paper) row["paper"] = *measure.paper;
    json["measures"].push_back(std::move(row));
  }
  for (const Verdict& verdict : verdicts)
    json["thresholds"].push_back({{"expected", verdict.expected}, {"outcome", verdict.outcome}});
  return json;
}

std::string results_text(const std::string& name, const ExperimentOptions& experiment, const Runs& runs, bool quick,
                         const std::vector<Figure>& figures, const std::vector<Verdict>& verdicts) {
  const bool paper =
      std::ranges::any_of(experiment.measures, [](const MeasureOptions& m) { return m.paper.has_value(); });
  std::vector<std::vector<std::string>> rows{{"figure"}};
  for (std::int64_t seed = 1; seed <= runs.seeds; ++seed) rows[0].push_back("seed " + std::to_string(seed));
  rows[0].insert(rows[0].end(), {"mean", "95 % interval"});
  if (paper) rows[0].push_back("paper");
  for (size_t m = 0; m < figures.size(); ++m) {
    std::vector<std::string> cells{experiment.measures[m].name};
    for (const double value : figures[m].values) cells.push_back(format_number(value, 3));
    cells.push_back(format_number(figures[m].mean, 3));
    cells.push_back(interval_or_dash(figures[m].interval, 3));
    if (paper) cells.push_back(experiment.measures[m].paper ? fmt::format("{:g}", *experiment.measures[m].paper) : "");
    rows.push_back(std::move(cells));
  }
  std::string text =
      fmt::format("{}{}: {}\nafter {}\n\n", name, quick ? " (quick)" : "", experiment.question, experiment.mirrors);
  text += format_table(rows) + "\n";
  for (const Verdict& verdict : verdicts) text += verdict.outcome + ": " + verdict.expected + "\n";
  text += "shows: " + experiment.shows + "\ncannot show: " + experiment.cannot_show + "\n";
  return text;
}

constexpr const char* experiment_stage = "experiment";

// Whether the folder has both tables as they were written, and a run of each seed. What the runs are now, their own
// pipelines say.
bool is_finished(const std::string& output, const std::string& file, const Runs& runs) {
  if (RunFiles::look(output).kind != RunFiles::Place::Kind::marked) return false;
  const RunFiles files = RunFiles::read(output);
  for (std::int64_t seed = 1; seed <= runs.seeds; ++seed) {
    if (!files.owns_run(run_name(runs, seed))) return false;
  }
  return std::ranges::all_of(std::array{file + ".json", file + ".txt"}, [&](const std::string& name) {
    return files.owns(name) && files.differences(name).empty();
  });
}

}  // namespace

int run_experiments(const std::vector<std::string>& files, const ExperimentRun& run, const std::string& program,
                    const Context& context) {
  std::vector<ExperimentOptions> experiments;
  std::set<std::string> names;
  for (const std::string& file : files) {
    experiments.push_back(load_experiment(file));
    if (names.insert(Path(file).stem().string()).second) continue;
    fail(ExitCode::recipe, {.what = "two experiments of one name, which would write one table",
                            .where = file,
                            .found = "'" + Path(file).stem().string() + "'",
                            .advice = "rename one of the files, or give them another --out each"});
  }
  std::vector<Runs> planned;
  for (size_t i = 0; i < files.size(); ++i) planned.push_back(runs_of(files[i], experiments[i], run));
  RunFiles::holds_run_of(run.output, experiment_stage, "--out");  // refuses that of another stage
  std::optional<RunFiles> folder;  // none until something is written: what is finished may be read-only
  const auto writing = [&]() -> RunFiles& {
    if (!folder)
      folder.emplace(
          RunFiles::open(run.output, {{"made_by", "steerlm " + program_version()}, {"stage", experiment_stage}}));
    return *folder;
  };
  std::set<Path> done;  // experiments may share runs
  for (size_t i = 0; i < files.size(); ++i) {
    const std::string name = Path(files[i]).stem().string();
    const ExperimentOptions& experiment = experiments[i];
    const Runs& runs = planned[i];
    const std::string file = run.quick ? name + "-quick" : name;
    const bool finished = !context.dry_run && is_finished(run.output, file, runs);
    if (!context.dry_run && !finished) {
      for (const char* ending : {".json", ".txt"}) keep_changed(writing(), file + ending, context);
      writing().make_folder("runs");
      writing().make_folder(runs.folder.string());
    }
    std::vector<std::vector<double>> values(experiment.measures.size());
    for (std::int64_t seed = 1; seed <= runs.seeds; ++seed) {
      if (done.insert(seed_folder(runs, run, seed)).second) {
        const std::string title = fmt::format("{}, seed {} of {}", name, seed, runs.seeds);
        if (!context.dry_run && !finished) writing().enter_run(run_name(runs, seed));
        if (const int code = run_seed(title, experiment, runs, run, seed, program, context); code != 0) return code;
      }
      if (context.dry_run) continue;
      for (size_t m = 0; m < values.size(); ++m)
        values[m].push_back(read_figure(experiment.measures[m], seed_folder(runs, run, seed)));
    }
    if (context.dry_run) continue;
    std::vector<Figure> figures;
    for (std::vector<double>& of_seeds : values) figures.push_back(make_figure(std::move(of_seeds)));
    std::vector<Verdict> verdicts;
    for (const ThresholdOptions& threshold : experiment.thresholds)
      verdicts.push_back(judge(threshold, experiment.measures, figures));
    const std::string text = results_text(name, experiment, runs, run.quick, figures, verdicts);
    const auto write = [&](const std::string& table, const std::string& bytes) {
      if (!finished || read_file(Path(run.output) / table, ExitCode::resources, "table") != bytes)
        writing().write(table, bytes);
    };
    write(file + ".json", results_json(name, experiment, runs, run.quick, figures, verdicts).dump(2) + "\n");
    write(file + ".txt", text);
    std::fputs((text + "\n").c_str(), stdout);
  }
  if (folder) folder->compact();
  return 0;
}

}  // namespace steerlm
