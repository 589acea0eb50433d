// A list of steps, each run as its own process of this program: a crash of one is an exit code here, and its memory is
// given back.
#include <fmt/format.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <optional>
#include <span>

#include "stages/environment.h"
#include "stages/keep_changed.h"
#include "stages/pipeline_outputs.h"
#include "stages/pipeline_step.h"
#include "stages/settle.h"
#include "stages/step_process.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/version.h"
#include "steerlm/report/table.h"
#include "steerlm/stages/report.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point begin) { return std::chrono::duration<double>(Clock::now() - begin).count(); }

void check_selection(const Pipeline& pipeline, const std::string& name, const char* option) {
  std::vector<std::string> names;
  for (const PipelineStep& step : pipeline.steps) names.push_back(step.name);
  if (name.empty() || std::ranges::find(names, name) != names.end()) return;
  fail(ExitCode::recipe, {.what = "no step is named '" + name + "'",
                          .where = option,
                          .expected = "one of " + join(names),
                          .advice = suggest(name, names)});
}

std::vector<Step> select(const std::vector<Step>& steps, const PipelineSelection& selection) {
  std::vector<Step> selected;
  bool reached = selection.from.empty();
  for (const Step& step : steps) {
    reached = reached || step.name == selection.from;
    if (reached && (selection.only.empty() || step.name == selection.only)) selected.push_back(step);
  }
  return selected;
}

// Nothing is written. A fault that a run would meet is thrown as the run would.
int dry_run(const std::vector<Step>& steps, const Context& context) {
  using Action = StepPlan::Action;
  StepsThatRan would_run;
  for (const Step& step : steps) {
    require_results(step, would_run);
    const StepPlan plan = plan_step(step, would_run, context);
    context.log->info(step.title + ": " + describe(plan, "would "));
    if (plan.action == Action::skip) continue;
    check_outputs(step, context);
    if (plan.action == Action::again) check_previous(step, context);
    const std::vector<std::string> to_come = results_to_come(step, would_run);
    for (const std::string& text : to_come) context.log->info(step.title + ": " + text);
    if (to_come.empty())
      run_settled_stage(settle_recipe(step.recipe), context);
    else
      open_inputs(step, would_run);
    // What is made again of a finished step has the bytes that it had.
    if (plan.action != Action::repair && plan.action != Action::open) would_run.again.insert(step.name);
    would_run.still.insert(step.name);
  }
  return 0;
}

void check_pipeline_folder(const Pipeline& pipeline) {
  if (!RunFiles::holds_run_of(pipeline.run_dir, std::string(enum_name(Stage::pipeline)), "run_dir")) return;
  const RunFiles files = RunFiles::read(pipeline.run_dir);
  for (const char* name : {"log.txt", "recipe.yaml", "environment.json"}) files.refuse_foreign(name);
}

// Written as soon as a step of this recipe runs.
void write_recipe(RunFiles& files, const Pipeline& pipeline) {
  Json environment = describe_environment("", Json::array());
  environment.erase("inputs");  // the steps' own have them
  environment.erase("device");
  for (const PipelineStep& step : pipeline.steps)
    environment["steps"].push_back((Path(pipeline.run_dir) / step.name / "environment.json").string());
  files.write("environment.json", environment.dump(2) + "\n");
  files.write("recipe.yaml", pipeline.recipe_yaml);
  files.compact();
}

std::vector<std::string> step_arguments(const StepPlan& plan, const Context& context) {
  std::vector<std::string> arguments{"run", "-"};
  if (plan.action == StepPlan::Action::fresh) arguments.push_back("--fresh");
  if (context.overwrite) arguments.push_back("--overwrite");
  if (context.quiet) arguments.push_back("--quiet");
  return arguments;
}

// A page about what the steps have left. The pipeline is done whatever becomes of it.
void write_report(const std::string& run_dir, const std::function<RunFiles&()>& writing, const Context& context) {
  constexpr const char* name = "report.html";
  const Path path = Path(run_dir) / name;
  try {
    const std::string page = make_report(std::span(&run_dir, 1));
    // One that tells the same already stays as it is.
    const bool same = RunFiles::read(run_dir).owns(name) && is_there(path, ExitCode::resources) &&
                      read_file(path, ExitCode::resources, "report") == page;
    if (!same) {
      RunFiles& files = writing();
      keep_changed(files, name, context);
      files.write(name, page);
      files.compact();
    }
    context.log->info("a page about it is " + path.string());
  } catch (const Error& error) {
    context.log->warn("the page about the pipeline, " + path.string() +
                      ", cannot be written: " + format_fault(error.faults().front()) +
                      ". Everything else is done; `steerlm report` writes it elsewhere");
  }
}

}  // namespace

int run_pipeline(const std::string& recipe_path, const std::vector<std::string>& overrides,
                 const PipelineSelection& selection, const std::string& program, const Context& context) {
  const Pipeline pipeline = load_pipeline(recipe_path, overrides);
  if (pipeline.max_minutes > 0) stop_after(60 * pipeline.max_minutes, "max_minutes");
  check_selection(pipeline, selection.only, "--only");
  check_selection(pipeline, selection.from, "--from");
  const std::vector<Step> all = make_steps(pipeline);
  check_pipeline_outputs(all, pipeline.run_dir, context.recipe);
  const std::vector<Step> steps = select(all, selection);
  check_pipeline_folder(pipeline);
  for (const Step& step : steps) check_step_folder(step);  // before the first one runs for hours
  if (context.dry_run) return dry_run(steps, context);
  if (context.fresh) {
    Log silent = Log::silent();
    dry_run(steps, look_ahead(context, silent));  // before the first step removes anything
  }
  std::optional<RunFiles> files;  // none until something is written: a finished pipeline may be read-only
  const auto writing = [&]() -> RunFiles& {
    if (!files) {
      files.emplace(RunFiles::open(
          pipeline.run_dir, {{"made_by", "steerlm " + program_version()}, {"stage", enum_name(Stage::pipeline)}}));
      context.log->open_file(files->grow("log.txt"));
    }
    return *files;
  };

  const Clock::time_point begin = Clock::now();
  StepsThatRan ran;
  for (const Step& step : steps) {
    const Step* looked_at = &step;
    try {
      require_results(step, ran);
      StepPlan plan = plan_step(step, ran, context);
      if (plan.action != StepPlan::Action::skip && !files) {
        // Before the first one runs, perhaps for hours.
        for (const Step& later : std::span(&step, &steps.back() + 1)) {
          looked_at = &later;
          look_at_step(later, context);
        }
        looked_at = &step;
        writing();  // another pipeline may have run the step until now: with the lock it is planned again
        plan = plan_step(step, ran, context);
      }
      if (plan.action == StepPlan::Action::skip || !plan.reasons.empty())
        context.log->info(step.title + ": " + describe(plan, ""));
      if (plan.action == StepPlan::Action::skip) continue;
      check_outputs(step, context);
      if (plan.action == StepPlan::Action::again) keep_previous(step, context);
      if (ran.again.empty()) write_recipe(writing(), pipeline);
      const int code = run_step({step.title, step_arguments(plan, context), step.recipe_yaml}, program, context);
      if (code != 0) return code;
      // What was made again of a finished step has the bytes that it had.
      if (plan.action != StepPlan::Action::repair) ran.again.insert(step.name);
      note_progress();
    } catch (const Error& error) {
      context.log->error(fmt::format("{} ended with exit code {}", looked_at->title, static_cast<int>(error.code())));
      throw;
    }
    if (stop_requested() && &step != &steps.back()) {
      context.log->warn(fmt::format("stopped {} after {}; the same command goes on", stop_reason(), step.title));
      return static_cast<int>(ExitCode::stopped);
    }
  }
  for (const PipelineStep& step : pipeline.steps) {
    const Path model = Path(pipeline.run_dir) / step.name / "model";
    if (is_there(model, ExitCode::resources))
      context.log->info(fmt::format("{}: the model is in {}", step.name, model.string()));
  }
  context.log->info(
      fmt::format("pipeline done in {}; everything is in {}", format_duration(seconds_since(begin)), pipeline.run_dir));
  write_report(pipeline.run_dir, writing, context);
  return 0;
}

}  // namespace steerlm
