#include "stages/pipeline_step.h"

#include <fmt/format.h>

#include <algorithm>
#include <functional>

#include "stages/places.h"
#include "stages/settle.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/line_reader.h"
#include "steerlm/data/preference.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/shard.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/run_directory.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

Path ledger_of(const Step& step) { return Path(step.recipe.run_dir) / "ledger.jsonl"; }
Path previous_of(const Step& step) { return step.recipe.run_dir + ".previous"; }

bool is_to_come(const Step& step, const std::string& path, const StepsThatRan& ran) {
  return ran.still.contains(made_by(step, path));
}

// Model folders and tokenizers that the step reads; of weights the headers. One that `is_left` names is left alone, and
// so is an adapter of it.
void open_models(const Step& step, const std::function<bool(const std::string& path)>& is_left) {
  for (const RecipeInput& input : named_inputs(step.recipe)) {
    if (input.missing != ExitCode::model || std::ranges::any_of(model_inputs(input.path), is_left)) continue;
    if (input.path == step.recipe.model.tokenizer) {
      Tokenizer::load(input.path);
      continue;
    }
    const ModelFolder folder = open_model_folder(input.path);
    // A predictor is trained from the trunk, which may be all that the folder has.
    check_weights(folder, step.recipe.stage == Stage::train_predictor ? Weights::trunk : own_weights(folder));
  }
}

bool is_done(const Path& run_dir) { return is_there(run_dir / "done.json", ExitCode::resources); }

// In a dry run, of a step whose inputs the steps `makers` are still to make: what its own files say.
StepPlan plan_before_inputs(const Step& step, const std::vector<std::string>& makers) {
  if (!is_done(step.recipe.run_dir)) return {StepPlan::Action::go_on, {}};
  const std::vector<std::string> damages = run_damages(RunFiles::read(step.recipe.run_dir), step.recipe);
  if (damages.empty()) return {StepPlan::Action::open, makers};
  return {StepPlan::Action::repair, damages};
}

}  // namespace

std::string made_by(const Step& step, const std::string& path) {
  const Path place = place_of(path);
  for (const Step::Results& other : step.earlier) {
    const auto is_of_it = [&](const std::string& result) { return lies_in(place, place_of(result)); };
    if (std::ranges::any_of(other.places, is_of_it)) return other.step;
  }
  return "";
}

std::vector<Step> make_steps(const Pipeline& pipeline) {
  std::vector<Step> steps;
  std::vector<Step::Results> earlier;
  for (const PipelineStep& given : pipeline.steps) {
    Step step{.name = given.name,
              .title = fmt::format("[{}/{}] {} ({})", steps.size() + 1, pipeline.steps.size(), given.name,
                                   enum_name(given.stage)),
              .recipe_yaml = given.recipe_yaml,
              .recipe = load_recipe_text(given.recipe_yaml, "step " + given.name),
              .depends_on = given.depends_on,
              .earlier = earlier};
    refuse_standard_input(step.recipe, "steps." + step.name);
    // A result may be named by its path, without @NAME/.
    for (const RecipeInput& input : named_inputs(step.recipe)) {
      const std::string name = made_by(step, input.path);
      if (!name.empty() && std::ranges::find(step.depends_on, name) == step.depends_on.end())
        step.depends_on.push_back(name);
    }
    Step::Results results{step.name, {step.recipe.run_dir}};
    for (const std::string& output : recipe_outputs(step.recipe)) {
      results.places.push_back(output);
      results.places.push_back(BlockOutput::quarantine_beside(output).string());
    }
    earlier.push_back(std::move(results));
    steps.push_back(std::move(step));
  }
  return steps;
}

void check_step_folder(const Step& step) {
  RunFiles::holds_run(step.recipe.run_dir);  // refuses a foreign one
  check_run_place(step.recipe);
}

StepPlan plan_step(const Step& step, const StepsThatRan& ran, const Context& context) {
  using Action = StepPlan::Action;
  if (RunFiles::look(step.recipe.run_dir).kind == RunFiles::Place::Kind::free) return {Action::start, {}};
  if (context.fresh) return {Action::fresh, {"--fresh"}};
  StepPlan plan{Action::again, {}};
  for (const std::string& name : step.depends_on) {
    if (ran.again.contains(name)) plan.reasons.push_back("it reads what " + name + " writes");
  }
  // What is still to come cannot be compared.
  std::vector<std::string> makers;
  for (const std::string& name : step.depends_on) {
    if (ran.still.contains(name)) makers.push_back(name);
  }
  if (!makers.empty()) {
    if (!plan.reasons.empty()) return plan;
    return plan_before_inputs(step, makers);
  }
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
    case StepPlan::Action::open:
      return "done already, if " + join(plan.reasons, " and ") + " makes the same again";
  }
  return "";
}

std::vector<std::string> results_to_come(const Step& step, const StepsThatRan& ran) {
  std::vector<std::string> texts;
  for (const RecipeInput& input : inputs_of(step.recipe)) {
    if (!is_to_come(step, input.path, ran)) continue;
    const std::string name = made_by(step, input.path);
    texts.push_back(is_there(input.path, input.missing) ? input.path + ": step " + name + " makes it again"
                                                        : input.path + " is not there yet: step " + name + " makes it");
  }
  return texts;
}

void require_results(const Step& step, const StepsThatRan& ran) {
  const std::vector<RecipeInput> inputs = inputs_of(step.recipe);
  const auto is_missing_file = [&](const RecipeInput& input) {
    return made_by(step, input.path).empty() && !is_there(input.path, input.missing);
  };
  if (std::ranges::any_of(inputs, is_missing_file)) return;  // the step says it
  for (const RecipeInput& input : inputs) {
    const std::string name = made_by(step, input.path);
    if (name.empty() || ran.still.contains(name) || is_there(input.path, input.missing)) continue;
    const bool done = is_done(Path(step.recipe.run_dir).parent_path() / name);
    fail(input.missing, {.what = "step " + step.name + " reads what step " + name + " has not made" +
                                 (done ? ", though it is done" : " yet"),
                         .where = input.path,
                         .advice = done ? "name something that it makes"
                                        : "run that step first: --only " + name + ", or no --only and --from"});
  }
}

void look_at_step(const Step& step, const Context& context) {
  const auto comes = [&](const std::string& path) { return !made_by(step, path).empty(); };
  open_models(step, comes);
  for (const RecipeInput& input : named_inputs(step.recipe)) {
    std::error_code error;
    const bool streams = stdfs::is_fifo(input.path, error);  // would be waited for; the step refuses it
    if (input.missing != ExitCode::data || comes(input.path) || streams) continue;
    LineReader opened(input.path);
  }
  if (RunFiles::look(step.recipe.run_dir).kind == RunFiles::Place::Kind::free) check_outputs(step, context);
}

void open_inputs(const Step& step, const StepsThatRan& ran) {
  open_models(step, [&](const std::string& path) { return is_to_come(step, path, ran); });
  const bool training_puts_aside = step.recipe.bad_records.on_bad_record == OnBadRecord::quarantine;
  const bool bad_ones_are_put_aside =
      training_puts_aside ||
      (step.recipe.stage == Stage::annotate && step.recipe.annotate.on_bad_record == OnBadRecord::quarantine);
  for (const SourceOptions& source : record_sources(step.recipe)) {
    if (is_to_come(step, source.path, ran)) continue;
    RecordReader reader({source}, {}, "", read_options(step.recipe));
    while (const auto input = reader.next()) {
      const BadRecord* bad = std::get_if<BadRecord>(&*input);
      if (bad != nullptr && !bad_ones_are_put_aside)
        fail(ExitCode::data, {.what = bad->reason, .where = bad->file + ":" + std::to_string(bad->line)});
    }
  }
  for (const SourceOptions& source : pair_sources(step.recipe)) {
    if (is_to_come(step, source.path, ran)) continue;
    PreferenceReader reader({source}, "");
    while (reader.next()) {
    }
  }
  for (const SourceOptions& source : prompt_sources(step.recipe)) {
    const bool kept = training_puts_aside || (step.recipe.stage == Stage::generate &&
                                              step.recipe.generate.on_bad_record == OnBadRecord::quarantine);
    if (!is_to_come(step, source.path, ran))
      read_prompts({source}, {}, "", 0, kept ? BadPrompts::kept : BadPrompts::refused);
  }
}

void check_outputs(const Step& step, const Context& context) {
  for (const std::string& output : recipe_outputs(step.recipe))
    BlockOutput::check(output, ledger_of(step), output_options(step.recipe, context));
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

}  // namespace

void check_previous(const Step& step, const Context& context) {
  const Path previous = previous_of(step);
  const RunFiles::Place place = RunFiles::look(previous);
  if (place.kind == RunFiles::Place::Kind::marked) check_run_removal(previous);
  if (place.kind == RunFiles::Place::Kind::foreign) {
    fail(ExitCode::resources, {.what = "the old run of step " + step.name + " is to be kept under a name that is taken",
                               .where = previous.string(),
                               .found = place.found,
                               .advice = "move it elsewhere"});
  }
  refuse_changed_outputs(step, RunFiles::read(step.recipe.run_dir), context);
}

namespace {

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
        const Path place = place_of(output), old = place_of(file);
        return old == place || old == BlockOutput::quarantine_beside(place);
      });
      if (!again && file.extension() != ".part") continue;
      files.make_folder("outputs");
      files.take_in(file, "outputs/" + file.filename().string());
    }
  }
  for (const std::string& output : outputs) {
    const Path file = shard_file(output);
    if (files.holds(file) || !files.owns_output(file) || !is_there(file, ExitCode::resources)) continue;
    files.make_folder("outputs");
    files.take_in(file, "outputs/" + file.filename().string());
  }
}

}  // namespace

void keep_previous(const Step& step, const Context& context) {
  check_previous(step, context);
  const Path previous = previous_of(step);
  RunFiles files = RunFiles::open(step.recipe.run_dir, {});  // locked: nobody goes on with it meanwhile
  if (RunFiles::look(previous).kind == RunFiles::Place::Kind::marked) remove_run(previous);
  take_in_outputs(step, files);
  files.compact();
  publish(step.recipe.run_dir, previous);
  context.log->info(step.title + ": its old run directory is kept as " + previous.string());
}

}  // namespace steerlm
