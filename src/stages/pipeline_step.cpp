#include "stages/pipeline_step.h"

#include <fmt/format.h>

#include <algorithm>

#include "stages/settle.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/run_directory.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

Path ledger_of(const Step& step) { return Path(step.recipe.run_dir) / "ledger.jsonl"; }
Path previous_of(const Step& step) { return step.recipe.run_dir + ".previous"; }

// The step whose run directory a path lies in; "" for a path elsewhere.
std::string made_by(const Step& step, const std::string& path) {
  for (const std::string& name : step.steps) {
    if (name != step.name && path.starts_with((step.pipeline_dir / name).string() + "/")) return name;
  }
  return "";
}

bool is_missing_result(const Step& step, const RecipeInput& input) {
  return !made_by(step, input.path).empty() && !is_there(input.path, input.missing);
}

}  // namespace

Step make_step(const Pipeline& pipeline, size_t index) {
  const PipelineStep& step = pipeline.steps[index];
  Step result{
      .name = step.name,
      .title = fmt::format("[{}/{}] {} ({})", index + 1, pipeline.steps.size(), step.name, enum_name(step.stage)),
      .recipe_yaml = step.recipe_yaml,
      .recipe = load_recipe_text(step.recipe_yaml, "step " + step.name),
      .depends_on = step.depends_on,
      .pipeline_dir = pipeline.run_dir};
  for (const PipelineStep& other : pipeline.steps) result.steps.push_back(other.name);
  return result;
}

void check_step_folder(const Step& step) {
  const RunFiles::Place place = RunFiles::look(step.recipe.run_dir);
  if (place.kind == RunFiles::Place::Kind::foreign) RunFiles::refuse_place(step.recipe.run_dir, place);
  check_run_place(step.recipe);
}

StepPlan plan_step(const Step& step, const std::set<std::string>& again, const Context& context) {
  using Action = StepPlan::Action;
  if (RunFiles::look(step.recipe.run_dir).kind == RunFiles::Place::Kind::free) return {Action::start, {}};
  if (context.fresh) return {Action::fresh, {"--fresh"}};
  StepPlan plan{Action::again, {}};
  for (const std::string& name : step.depends_on) {
    if (again.contains(name)) plan.reasons.push_back("it reads what " + name + " writes");
  }
  // What is not there cannot be compared: the step that makes it would run, and this one after it.
  if (!missing_results(step).empty()) return plan.reasons.empty() ? StepPlan{Action::go_on, {}} : plan;
  const RunStatus status = look_at_run(settle_recipe(step.recipe));
  if (status.state == RunStatus::State::other) {
    plan.reasons.insert(plan.reasons.begin(), status.reasons.begin(), status.reasons.end());
    return plan;
  }
  if (status.state == RunStatus::State::fresh) return {Action::start, {}};
  if (!plan.reasons.empty()) return plan;
  if (status.state == RunStatus::State::damaged) return {Action::repair, status.reasons};
  return {status.state == RunStatus::State::finished ? Action::skip : Action::go_on, {}};
}

std::string describe(const StepPlan& plan, const std::string& would) {
  const std::string reasons = join(plan.reasons, "; ");
  const bool now = would.empty();
  switch (plan.action) {
    case StepPlan::Action::skip:
      return now ? "done already, skipped" : "done already";
    case StepPlan::Action::start:
      return now ? "runs" : "would run";
    case StepPlan::Action::go_on:
      return now ? "goes on" : "would go on";
    case StepPlan::Action::repair:
      return (now ? "makes again what it lacks, " : "would make again what it lacks, ") + reasons;
    case StepPlan::Action::again:
      return (now ? "runs again, " : "would run again, ") + reasons;
    case StepPlan::Action::fresh:
      return now ? "starts over, --fresh" : "would start over, --fresh";
  }
  return "";
}

std::vector<std::string> missing_results(const Step& step) {
  std::vector<std::string> texts;
  for (const RecipeInput& input : inputs_of(step.recipe)) {
    if (is_missing_result(step, input))
      texts.push_back(input.path + " is not there yet: step " + made_by(step, input.path) + " makes it");
  }
  return texts;
}

void require_results(const Step& step) {
  const std::vector<RecipeInput> inputs = inputs_of(step.recipe);
  const auto is_missing_file = [&](const RecipeInput& input) {
    return made_by(step, input.path).empty() && !is_there(input.path, input.missing);
  };
  if (std::ranges::any_of(inputs, is_missing_file)) return;  // the step says it
  for (const RecipeInput& input : inputs) {
    if (!is_missing_result(step, input)) continue;
    const std::string name = made_by(step, input.path);
    fail(input.missing, {.what = "step " + step.name + " reads what step " + name + " has not made yet",
                         .where = input.path,
                         .advice = "run that step first: --only " + name + ", or no --only and --from"});
  }
}

void open_inputs(const Step& step) {
  for (const RecipeInput& input : inputs_of(step.recipe)) {
    if (input.missing != ExitCode::model || is_missing_result(step, input)) continue;
    if (!is_folder(input.path, input.missing)) {
      Tokenizer::load(input.path);
      continue;
    }
    const ModelFolder folder = open_model_folder(input.path);
    check_weights(folder, own_weights(folder));
  }
  const bool bad_ones_are_put_aside =
      step.recipe.stage == Stage::annotate && step.recipe.annotate.on_bad_record == OnBadRecord::quarantine;
  for (const SourceOptions& source : record_sources(step.recipe)) {
    if (is_missing_result(step, {source.path, ExitCode::data})) continue;
    RecordReader reader({source}, {}, "");
    while (const auto input = reader.next()) {
      const BadRecord* bad = std::get_if<BadRecord>(&*input);
      if (bad != nullptr && !bad_ones_are_put_aside)
        fail(ExitCode::data, {.what = bad->reason, .where = bad->file + ":" + std::to_string(bad->line)});
    }
  }
  for (const SourceOptions& source : prompt_sources(step.recipe)) {
    if (!is_missing_result(step, {source.path, ExitCode::data})) read_prompts({source}, {}, "", 0);
  }
}

void check_outputs(const Step& step, const Context& context) {
  for (const std::string& output : recipe_outputs(step.recipe))
    BlockOutput::check(output, ledger_of(step), output_options(step.recipe, context));
}

void check_previous(const Step& step) {
  const Path previous = previous_of(step);
  const RunFiles::Place place = RunFiles::look(previous);
  if (place.kind == RunFiles::Place::Kind::marked) check_run_removal(previous);
  if (place.kind != RunFiles::Place::Kind::foreign) return;
  fail(ExitCode::resources, {.what = "the old run of step " + step.name + " is to be kept under a name that is taken",
                             .where = previous.string(),
                             .found = place.found,
                             .advice = "move it elsewhere"});
}

namespace {

// The old run's files at the outputs make way; somebody else's do not.
void refuse_changed_outputs(const Step& step, const RunFiles& files, const Context& context) {
  const std::vector<Path> own = BlockOutput::own_files(ledger_of(step));
  for (const std::string& output : recipe_outputs(step.recipe)) {
    std::error_code error;
    if (!stdfs::is_regular_file(output, error) || files.holds(output) || context.overwrite) continue;
    const auto same = [&](const Path& file) { return stdfs::equivalent(file, output, error); };
    if (std::ranges::any_of(own, same)) continue;
    fail(ExitCode::resources, {.what = "the output was changed after step " + step.name + " wrote it",
                               .where = output,
                               .advice = "move it elsewhere, or choose another output"});
  }
}

// What the old run wrote elsewhere and the step would write again, and what it had not finished, goes into its folder.
void take_in_outputs(const Step& step, RunFiles& files) {
  const std::vector<std::string> outputs = recipe_outputs(step.recipe);
  for (const char* ledger : {"ledger.jsonl", "sample/ledger.jsonl", "annotate/ledger.jsonl"}) {
    for (const Path& file : BlockOutput::own_files(files.root() / ledger)) {
      if (files.holds(file)) {
        files.enter_output(file, false);
        continue;
      }
      const bool again = std::ranges::any_of(outputs, [&](const std::string& output) {
        std::error_code error;
        const Path place = stdfs::weakly_canonical(stdfs::absolute(output, error), error);
        const Path old = stdfs::weakly_canonical(stdfs::absolute(file, error), error);
        return !error && (old == place || old == BlockOutput::quarantine_beside(place));
      });
      if (!again && file.extension() != ".part") continue;
      files.make_folder("outputs");
      files.take_in(file, "outputs/" + file.filename().string());
    }
  }
}

}  // namespace

void keep_previous(const Step& step, const Context& context) {
  check_previous(step);
  const Path previous = previous_of(step);
  RunFiles files = RunFiles::open(step.recipe.run_dir, {});  // locked: nobody goes on with it meanwhile
  refuse_changed_outputs(step, files, context);
  if (RunFiles::look(previous).kind == RunFiles::Place::Kind::marked) remove_run(previous);
  take_in_outputs(step, files);
  files.compact();
  publish(step.recipe.run_dir, previous);
  context.log->info(step.title + ": its old run directory is kept as " + previous.string());
}

}  // namespace steerlm
