#include "stages/report_run.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <functional>

#include "steerlm/core/paths.h"
#include "steerlm/core/run_files.h"
#include "steerlm/data/line_reader.h"
#include "steerlm/recipe/load.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/recipe_files.h"
#include "steerlm/text/attributes.h"

namespace steerlm {
namespace {

constexpr std::int64_t most_lines = 200'000;  // of a file of answers or annotated records

bool has_file(const ReportRun& run, const char* name) { return is_there(run.folder / name, ExitCode::resources); }

// Runs `read`; what it throws becomes a fault of the run.
void or_note(ReportRun& run, const std::function<void()>& read) {
  try {
    read();
  } catch (const Error& error) {
    run.faults.push_back(format_fault(error.faults().front()));
  } catch (const Json::exception&) {  // somebody has edited it
    run.faults.push_back(run.folder.string() +
                         ": a file of the run holds a value of another type than it was written with");
  }
}

Json read_json(ReportRun& run, const char* name) {
  Json json;
  or_note(run, [&] {
    const Path path = run.folder / name;
    json = parse_json(read_file(path, ExitCode::resources, "run file"), path.string(), ExitCode::resources);
    if (!json.is_object()) fail(ExitCode::resources, {.what = "the file holds no JSON object", .where = path.string()});
  });
  return json.is_object() ? json : Json();
}

// Calls `take` with each line that is a JSON object. Lines that are none are counted into one fault.
void for_each_object(ReportRun& run, const Path& path, std::int64_t most,
                     const std::function<void(const Json&)>& take) {
  std::int64_t bad = 0, first_bad = 0;
  or_note(run, [&] {
    LineReader reader(path.string());
    while (const auto line = reader.next()) {
      if (is_blank(line->text)) continue;
      if (line->number > most) {
        run.faults.push_back(
            fmt::format("{}: only the first {} lines are shown here", path.string(), format_count(most)));
        break;
      }
      const auto bad_line = [&] { first_bad = ++bad == 1 ? line->number : first_bad; };
      try {
        const Json json = parse_json(line->text, path.string(), ExitCode::data);
        if (json.is_object())
          take(json);
        else
          bad_line();
      } catch (const Error&) {
        bad_line();
      } catch (const Json::exception&) {  // a key of another type than the program writes
        bad_line();
      }
    }
  });
  if (bad > 0)
    run.faults.push_back(fmt::format("{}: {} damaged lines are left out, the first is line {}", path.string(),
                                     format_count(bad), first_bad));
}

void read_metrics(ReportRun& run) {
  if (!has_file(run, "metrics.jsonl")) return;
  std::optional<double> first_time;
  for_each_object(run, run.folder / "metrics.jsonl", INT64_MAX, [&](const Json& line) {
    const auto step = line.at("step").get<std::int64_t>();
    for (const auto& [key, value] : line.items()) {
      if (key != "step" && key != "time")
        run.metrics[key].push_back({.x = static_cast<double>(step), .y = number_or_nan(value)});
    }
    const double time = number_or_nan(line.value("time", Json()));
    if (!first_time) first_time = time;
    run.seconds = time - *first_time;
  });
}

void read_answers(ReportRun& run) {
  if (!has_file(run, "answers.jsonl")) return;
  for_each_object(run, run.folder / "answers.jsonl", most_lines, [&](const Json& line) {
    SweepAnswer answer;
    answer.prompt = line.at("prompt").get<std::string>();
    answer.dial = line.at("dial").get<std::string>();
    answer.response = line.at("response").get<std::string>();
    answer.level = line.at("level").get<std::int64_t>();
    answer.sample = line.at("sample").get<std::int64_t>();
    for (const char* part : {"scores", "figures"}) {
      for (const auto& [name, value] : line.at(part).items()) answer.measured.emplace(name, number_or_nan(value));
    }
    for (const auto& [name, value] : line.at("figures").items()) run.figures.insert(name);
    for (const auto& [name, value] : line.at("scores").items()) run.figures.erase(name);  // the attribute's is written
    run.answers.push_back(std::move(answer));
  });
}

// A key that an earlier version did not write is said to be missing.
void read_evaluation(ReportRun& run) {
  run.evaluation = read_json(run, "evaluation.json");
  const auto earlier = [&](const char* what) {
    run.faults.push_back(
        fmt::format("evaluation.json has no {}: an earlier version wrote it; `steerlm evaluate RECIPE "
                    "--fresh` measures it",
                    what));
  };
  if (run.evaluation.contains("dials")) {
    if (run.evaluation.contains("steerability"))
      or_note(run, [&] { run.steerability = read_steerability(run.evaluation["steerability"]); });
    else
      earlier("steerability matrix");
  }
  if (!run.evaluation.contains("predictor")) return;
  const Json& predictor = run.evaluation["predictor"];
  const auto has_curve = [](const Json& figures) { return figures.is_object() && figures.contains("calibration"); };
  if (std::ranges::any_of(predictor, has_curve))
    or_note(run, [&] { run.reliability = read_reliability(predictor); });
  else
    earlier("reliability curve");
}

// The tables that `steerlm experiment` has written, by their names.
void read_experiments(ReportRun& run) {
  or_note(run, [&] {
    const RunFiles files = RunFiles::read(run.folder);
    std::vector<std::string> names;
    std::error_code error;
    for (const auto& entry : std::filesystem::directory_iterator(run.folder, error)) {
      const std::string name = entry.path().filename().string();
      if (name.ends_with(".json") && files.owns(name)) names.push_back(name);
    }
    std::ranges::sort(names);
    for (const std::string& name : names) {
      const Json json = read_json(run, name.c_str());
      if (!json.is_null()) or_note(run, [&] { run.experiments.push_back(read_experiment(json)); });
    }
  });
}

AnnotatedAttribute& attribute_named(std::vector<AnnotatedAttribute>& attributes, const std::string& name) {
  const auto found = std::ranges::find(attributes, name, &AnnotatedAttribute::name);
  return found != attributes.end() ? *found : attributes.emplace_back(AnnotatedAttribute{.name = name});
}

// An assistant turn with `label`, `scores` and, where it had a label before, `gt_label`.
void add_annotated_turn(const Json& turn, std::vector<AnnotatedAttribute>& annotated) {
  Attributes attributes{.names = {}, .min = -1'000'000, .max = 1'000'000, .defaults = {}};
  for (const auto& [name, score] : turn.at("scores").items()) attributes.names.push_back(name);
  const auto values = [&](const char* key) {
    const std::string text = turn.contains(key) && turn[key].is_string() ? turn[key].get<std::string>() : "";
    return parse_label(attributes, text, key, LabelFaults::leave_out).values;
  };
  const std::vector<float> written = values("label"), given = values("gt_label");
  for (size_t a = 0; a < attributes.names.size(); ++a) {
    AnnotatedAttribute& row = attribute_named(annotated, attributes.names[a]);
    if (a < written.size() && !std::isnan(written[a])) ++row.written[static_cast<int>(written[a])];
    if (a >= given.size() || std::isnan(given[a])) continue;
    ++row.given[static_cast<int>(given[a])];
    const double score = number_or_nan(turn["scores"][attributes.names[a]]), value = static_cast<double>(given[a]);
    if (!(std::abs(score) <= attributes.max)) continue;
    row.calibration.add(score, value);
    row.absolute_error += std::abs(score - value);
  }
}

void read_annotated(ReportRun& run) {
  if (!run.recipe || run.stage != enum_name(Stage::annotate)) return;
  // The recipe's path is relative to where the run was started, and the report may be made from elsewhere. What a
  // bootstrap has annotated is beside the run of its annotation.
  Path output = run.recipe->annotate.output;
  for (const Path& folder : {run.folder, run.folder.parent_path()}) {
    if (!is_there(output, ExitCode::data)) output = folder / output.filename();
  }
  run.outputs.push_back(output.string());
  if (!is_there(output, ExitCode::data)) {
    run.faults.push_back(fmt::format(
        "{}: the output of the annotation is not there, seen from here; its labels are not shown. Make the report from "
        "the folder in which the run was started",
        run.recipe->annotate.output));
    return;
  }
  for_each_object(run, output, most_lines, [&](const Json& line) {
    for (const Json& turn : line.at("conversations")) {
      if (turn.contains("scores")) add_annotated_turn(turn, run.annotated);
    }
  });
}

// A line of log.txt without its date: "warning message", "info message"; "" for one that is none.
std::string log_message(std::string_view line) {
  constexpr size_t date = sizeof("2026-11-24 15:43:02 ") - 1;
  return line.size() > date && line[4] == '-' && line[13] == ':' ? std::string(line.substr(date)) : "";
}

std::vector<std::string> log_messages(ReportRun& run) {
  std::vector<std::string> messages;
  if (!has_file(run, "log.txt")) return messages;
  or_note(run, [&] {
    LineReader reader((run.folder / "log.txt").string());
    while (const auto line = reader.next()) {
      if (std::string message = log_message(line->text); !message.empty()) messages.push_back(std::move(message));
    }
  });
  return messages;
}

void read_log(ReportRun& run) {
  std::map<std::string, std::string> of_data;  // by the first word; a run that went on says it again
  for (const std::string& message : log_messages(run)) {
    for (const char* begin : {"info training data: ", "info validation data: ", "info perplexity on "}) {
      if (message.starts_with(begin)) of_data[begin] = message.substr(sizeof("info ") - 1);
    }
    run.said = message.substr(message.find(' ') + 1);
  }
  for (const auto& [begin, line] : of_data) run.data_lines.push_back(line);
}

// Folders that have runs in them and nothing else that is shown here.
bool holds_runs_alone(const ReportRun& run) {
  return run.stage == "crossvalidate" || run.stage == "experiment" || run.stage == "seeds";
}

ReportRun read_run(const std::string& name, const Path& folder) {
  ReportRun run{.name = name, .folder = folder};
  or_note(run, [&] { run.stage = RunFiles::read(folder).mark().value("stage", ""); });
  if (!holds_runs_alone(run)) {
    or_note(run, [&] { run.recipe_yaml = read_file(folder / "recipe.yaml", ExitCode::resources, "the run's recipe"); });
    if (const auto stage = peek_stage(run.recipe_yaml); run.stage.empty() && stage) run.stage = enum_name(*stage);
    run.environment = read_json(run, "environment.json");
  }
  read_log(run);
  if (run.stage == "experiment") read_experiments(run);
  if (has_file(run, "done.json")) run.done = read_json(run, "done.json");
  run.outcome = has_file(run, "done.json") ? "finished" : "not finished";
  return run;
}

void read_results(ReportRun& run) {
  or_note(run, [&] { run.recipe = load_recipe_text(run.recipe_yaml, (run.folder / "recipe.yaml").string()); });
  if (run.recipe) run.outputs = recipe_outputs(*run.recipe);
  read_metrics(run);
  if (has_file(run, "evaluation.json")) read_evaluation(run);
  read_answers(run);
  read_annotated(run);
  const bool trains = run.stage == enum_name(Stage::sft) || run.stage == enum_name(Stage::train_predictor);
  const bool solved = run.recipe && run.recipe->head.kind == PredictorKind::ridge;  // in one step, without metrics
  if (trains && !solved && run.metrics.empty()) run.faults.push_back("no line of metrics.jsonl is there to plot");
  if (run.stage == enum_name(Stage::evaluate) && run.outcome == "finished" && run.evaluation.is_null())
    run.faults.push_back("evaluation.json is missing or damaged: its tables are not shown");
  if (run.evaluation.is_object() && run.evaluation.contains("dials") && run.answers.empty())
    run.faults.push_back("answers.jsonl is missing or damaged: its dials have no intervals, lengths or texts here");
}

// The steps of a folder that is no run of one stage alone, in their order.
std::vector<std::string> step_names(ReportRun& run) {
  if (run.stage == enum_name(Stage::bootstrap)) return {"sample", "annotate", "sft"};
  std::vector<std::string> names;
  or_note(run, [&] {
    for (const PipelineStep& step : load_pipeline((run.folder / "recipe.yaml").string(), {}).steps)
      names.push_back(step.name);
  });
  return names;
}

// The last thing that the pipeline says of the step: "done in 9 s, at most 308.7 MB of memory", "ended with exit code
// 3". That it was skipped later changes nothing of how it ended.
std::string outcome_in(const std::vector<std::string>& messages, const std::string& step) {
  std::string said;
  for (const std::string& message : messages) {
    const size_t begin = message.find("] " + step + " (");
    if (begin == std::string::npos) continue;
    const size_t end = message.find(')', begin);
    std::string rest = end == std::string::npos ? "" : message.substr(end + 1);
    rest.erase(0, std::min(rest.size(), rest.find_first_not_of(": ")));
    if (!rest.empty() && rest != "done already, skipped") said = rest;
  }
  return said;
}

// A step of a pipeline or bootstrap that has no folder yet.
ReportRun missing_step(const std::string& name, const Path& folder) {
  ReportRun run{.name = name, .folder = folder};
  run.outcome = "not run";
  return run;
}

bool is_run(const Path& folder) { return RunFiles::look(folder).kind == RunFiles::Place::Kind::marked; }

// The runs that a cross-validation, an experiment or SteerLM 2.0 has left in its folder.
std::vector<std::string> runs_inside(const ReportRun& run) {
  std::vector<std::string> names;
  if (run.stage == "crossvalidate") {
    for (int k = 1; is_run(run.folder / ("fold-" + std::to_string(k))); ++k)
      names.push_back("fold-" + std::to_string(k));
  } else if (run.stage == enum_name(Stage::steerlm2)) {
    for (std::int64_t k = 1; is_run(run.folder / steerlm2_parts(k).front()); ++k) {
      for (const std::string& part : steerlm2_parts(k)) {
        if (is_run(run.folder / part)) names.push_back(part);
      }
    }
  } else if (run.stage == "experiment") {
    std::error_code error;
    for (const auto& pipeline : std::filesystem::directory_iterator(run.folder / "runs", error)) {
      for (int k = 1; is_run(pipeline.path() / ("seed-" + std::to_string(k))); ++k)
        names.push_back((pipeline.path().lexically_relative(run.folder) / ("seed-" + std::to_string(k))).string());
    }
    std::ranges::stable_sort(names, {}, [](const std::string& name) { return Path(name).parent_path(); });
  }
  return names;
}

void add_run(std::vector<ReportRun>& runs, const std::string& name, const Path& folder) {
  const size_t place = runs.size();
  runs.push_back(read_run(name, folder));
  const bool pipeline = runs[place].stage == enum_name(Stage::pipeline);
  // The sampling of a bootstrap has its stage too, and no steps.
  const bool bootstrap = runs[place].stage == enum_name(Stage::bootstrap) && is_run(folder / "sample");
  if (const std::vector<std::string> inside = runs_inside(runs[place]); !inside.empty()) {
    size_t finished = 0;
    for (const std::string& each : inside) {
      const size_t begin = runs.size();
      add_run(runs, name + "/" + each, folder / each);
      finished += runs[begin].outcome == "finished" ? 1 : 0;
    }
    if (holds_runs_alone(runs[place])) {
      runs[place].outcome = finished == inside.size() ? "finished" : "not finished";
      runs[place].said = fmt::format("{} of {} runs in it finished", finished, inside.size());
    }
    return;
  }
  if (!pipeline && !bootstrap) return read_results(runs[place]);
  const std::vector<std::string> messages = log_messages(runs[place]);
  size_t unfinished = 0;
  const std::vector<std::string> steps = step_names(runs[place]);
  for (const std::string& step : steps) {
    const size_t begin = runs.size();
    const Path step_folder = folder / step;
    if (is_run(step_folder))
      add_run(runs, name + "/" + step, step_folder);
    else
      runs.push_back(missing_step(name + "/" + step, step_folder));
    unfinished += runs[begin].outcome == "finished" ? 0 : 1;
    // The steps of a bootstrap have the same log.
    const std::string said = pipeline ? outcome_in(messages, step) : "";
    if (bootstrap || !said.empty()) runs[begin].said = said;
  }
  if (!pipeline) return;
  runs[place].outcome = unfinished == 0 && !steps.empty() ? "finished" : "not finished";
  runs[place].said = fmt::format("{} of {} steps finished", steps.size() - unfinished, steps.size());
}

}  // namespace

double validation_figure(const ReportRun& run, const std::string& key) {
  if (run.done.is_object() && run.done.contains(key)) return number_or_nan(run.done[key]);
  const auto found = run.metrics.find(key);
  return found == run.metrics.end() ? no_number : found->second.back().y;
}

std::optional<std::int64_t> validated_step(const ReportRun& run) {
  if (run.done.is_object() && run.done.contains("weights_step") && run.done["weights_step"].is_number_integer())
    return run.done["weights_step"].get<std::int64_t>();
  const auto found = run.metrics.find("validation/loss");
  if (found == run.metrics.end()) return std::nullopt;
  return static_cast<std::int64_t>(found->second.back().x);
}

std::vector<ReportRun> read_runs(const std::string& folder) {
  const RunFiles::Place place = RunFiles::look(folder);
  if (place.kind != RunFiles::Place::Kind::marked) {
    fail(ExitCode::resources,
         {.what = "this is no run directory",
          .where = folder,
          .found = place.kind == RunFiles::Place::Kind::free ? "nothing, or an empty folder" : place.found,
          .expected = "the run_dir of a recipe that was run, with its folder .steerlm-run",
          .advice = "name the folder that `run_dir` of the recipe names"});
  }
  std::string name = folder;
  while (name.size() > 1 && name.ends_with('/')) name.pop_back();
  std::vector<ReportRun> runs;
  add_run(runs, name, folder);
  return runs;
}

}  // namespace steerlm
