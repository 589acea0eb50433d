// train-predictor, annotate, sft, bootstrap, steerlm2, evaluate, crossvalidate, run and pipeline: each takes a recipe.
#include <algorithm>
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/inference_options.h"
#include "cli/job_output.h"
#include "steerlm/core/stop.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/stages.h"

namespace steerlm {

std::string this_program(const std::string& advice) {
  std::error_code error;
  const Path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    fail(ExitCode::resources, {.what = "cannot find this program's own file: " + error.message(),
                               .where = "/proc/self/exe",
                               .expected = "a mounted /proc",
                               .advice = advice});
  }
  return program.string();
}

namespace {

struct StageArguments {
  std::string recipe;
  std::vector<std::string> overrides;
  PipelineSelection selection;
  std::vector<std::int64_t> seeds;
  std::int64_t folds = 5;  // crossvalidate
  bool fresh = false, overwrite = false, dry_run = false, quiet = false;
  std::string machine;
  JobArguments job;  // of --merge
};

Context context_of(const StageArguments& arguments, Log& log) {
  std::optional<Machine> machine;
  if (!arguments.machine.empty()) {
    machine = parse_machine(arguments.machine);
    if (!arguments.dry_run) {
      fail(ExitCode::recipe, {.what = "--machine is for a forecast, which --dry-run makes",
                              .where = "--machine",
                              .found = "no --dry-run",
                              .advice = "add --dry-run, or leave --machine out"});
    }
  }
  return {.fresh = arguments.fresh,
          .overwrite = arguments.overwrite,
          .dry_run = arguments.dry_run,
          .quiet = arguments.quiet,
          .machine = machine,
          .recipe = arguments.recipe,
          .log = &log};
}

// The stages that --machine has something to say of.
void require_forecast(const Recipe& recipe) {
  const bool trains = recipe.stage == Stage::train_predictor || recipe.stage == Stage::sft ||
                      (recipe.stage == Stage::steerlm2 && recipe.steerlm2.prompts.empty());
  if (trains) return;
  fail(ExitCode::recipe, {.what = "--machine forecasts trainings, and this recipe is none",
                          .where = "--machine",
                          .found = "stage " + std::string(enum_name(recipe.stage)) +
                                   (recipe.stage == Stage::steerlm2 ? " that samples" : ""),
                          .expected = "train-predictor, sft, or steerlm2 without prompts",
                          .advice = "leave --machine out"});
}

void begin_limits(Log& log) {
  install_stop_handlers();
  if (const std::string slurm = stop_at_slurm_end(); !slurm.empty()) log.info(slurm);
}

int run(const StageArguments& arguments, std::optional<Stage> stage) {
  Log log(arguments.quiet);
  begin_limits(log);
  const Context context = context_of(arguments, log);
  if (stage == Stage::pipeline && !arguments.seeds.empty()) {
    if (!arguments.selection.only.empty() || !arguments.selection.from.empty()) {
      fail(ExitCode::recipe, {.what = "--seeds runs whole pipelines",
                              .where = "--seeds",
                              .found = "--only or --from",
                              .advice = "give these with seed=K run_dir=RUN_DIR/seed-K instead"});
    }
    return run_pipeline_seeds(arguments.recipe, arguments.overrides, arguments.seeds,
                              this_program("run the pipelines one after another with seed=K run_dir=RUN_DIR/seed-K"),
                              context);
  }
  if (stage == Stage::pipeline) {
    return run_pipeline(arguments.recipe, arguments.overrides, arguments.selection,
                        this_program("run the steps one after another with `steerlm run`"), context);
  }
  const Recipe recipe = load_recipe(arguments.recipe, arguments.overrides, stage);
  if (context.machine) require_forecast(recipe);
  if (recipe.max_minutes > 0) stop_after(60 * recipe.max_minutes, "max_minutes");
  const Outcome outcome = run_stage(recipe, context);
  return static_cast<int>(outcome == Outcome::done ? ExitCode::done : ExitCode::stopped);
}

// What every command with a recipe takes.
CLI::App* add_recipe_command(CLI::App& app, const std::string& name, const std::string& help, const std::string& more,
                             StageArguments& arguments) {
  CLI::App* command = app.add_subcommand(name, help);
  command->footer(more);
  command->add_option("RECIPE", arguments.recipe, "recipe file, '-' for standard input")->required();
  command->add_option(
      "OVERRIDES", arguments.overrides,
      "key=value, such as optimizer.learning_rate=1e-5 or data.train[0].path=x.jsonl; key=null unsets a key");
  command->add_flag("--fresh", arguments.fresh,
                    "start over: what the run directory holds of an earlier run is removed");
  add_overwrite(*command, arguments.overwrite);
  command->add_flag("--dry-run", arguments.dry_run,
                    "open model, tokenizer and data, forecast steps, time and memory; write nothing");
  command->add_option("--machine", arguments.machine,
                      "with --dry-run: forecast a training on another machine, such as h100, l40s or 8xh100");
  command->add_flag("--quiet", arguments.quiet, "warnings and errors only");
  return command;
}

// "1,2,3". Throws recipe.
std::vector<std::int64_t> parse_seeds(const std::string& text) {
  std::vector<std::int64_t> seeds;
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(',', begin), text.size());
    std::int64_t seed = 0;
    const auto [last, error] = std::from_chars(text.data() + begin, text.data() + end, seed);
    if (error != std::errc() || last != text.data() + end || seed < 0) {
      fail(ExitCode::recipe, {.what = "no list of seeds",
                              .where = "--seeds",
                              .found = "'" + text + "'",
                              .expected = "integers of at least 0, joined by commas, such as 1,2,3"});
    }
    seeds.push_back(seed);
    begin = end + 1;
  }
  return seeds;
}

// What follows --merge OUT are shards: the first stands where a recipe does.
int merge(const StageArguments& arguments) {
  JobArguments job = arguments.job;
  job.overwrite = arguments.overwrite;
  job.quiet = arguments.quiet;
  job.shards = {arguments.recipe};
  job.shards.insert(job.shards.end(), arguments.overrides.begin(), arguments.overrides.end());
  return run_merge(job);
}

void add_stage_command(CLI::App& app, Invocation& invocation, const std::string& name, std::optional<Stage> stage,
                       const std::string& help, const std::string& more) {
  const auto arguments = std::make_shared<StageArguments>();
  CLI::App* command = add_recipe_command(app, name, help, more, *arguments);
  if (stage == Stage::pipeline) {
    command->add_option("--only", arguments->selection.only, "run only the step of this name");
    command->add_option("--from", arguments->selection.from, "start with the step of this name");
    command->add_option_function<std::string>(
        "--seeds", [arguments](const std::string& text) { arguments->seeds = parse_seeds(text); },
        "run once with each of these seeds, in run_dir/seed-K, and table the figures: 1,2,3");
  }
  if (stage == Stage::annotate) add_merge_options(*command, arguments->job);
  command->callback([&invocation, arguments, stage] {
    if (!arguments->job.merge.empty()) {
      invocation.action = [arguments] { return merge(*arguments); };
      return;
    }
    invocation.action = [arguments, stage] { return run(*arguments, stage); };
  });
}

int run_folds(const StageArguments& arguments) {
  Log log(arguments.quiet);
  begin_limits(log);
  const Context context = context_of(arguments, log);
  const Recipe recipe = load_recipe(arguments.recipe, arguments.overrides, Stage::train_predictor);
  return run_crossvalidation(
      recipe, arguments.folds,
      this_program("run the trainings one after another with `steerlm train-predictor` and data.fold"), context);
}

void add_crossvalidate(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<StageArguments>();
  CLI::App* command = add_recipe_command(
      app, "crossvalidate", "Cross-validate a predictor: train it once for each part of the dialogues that is held out",
      "RECIPE is one of train-predictor without validation data. Fold K is a process of its own with the run "
      "directory\n"
      "run_dir/fold-K; run_dir gets crossvalidation.txt, which is printed, and crossvalidation.json. The same command\n"
      "again goes on where it stopped.",
      *arguments);
  command->add_option("--folds", arguments->folds, "parts of the dialogues, each held out once")
      ->check(CLI::Range(std::int64_t{2}, std::int64_t{999'999'999}))
      ->capture_default_str();
  command->callback([&invocation, arguments] { invocation.action = [arguments] { return run_folds(*arguments); }; });
}

constexpr const char* run_files =
    "The run directory (key run_dir) gets recipe.yaml, environment.json, metrics.jsonl, log.txt, checkpoints/ and "
    "model/.\n"
    "The same command again goes on where it stopped, or says that the run is finished. Ctrl-C finishes the step, "
    "saves, exits 75.\n"
    "All keys: docs/recipes.md, or `steerlm recipe schema`.";

}  // namespace

void add_stage_commands(CLI::App& app, Invocation& invocation) {
  add_stage_command(app, invocation, "train-predictor", Stage::train_predictor,
                    "Stage 1: train a model that predicts the attributes of a response", run_files);
  add_stage_command(
      app, invocation, "annotate", Stage::annotate, "Stage 2: label the responses of a data set with a predictor",
      "The same command again goes on where it stopped; the output does not depend on it. Bad records go to\n"
      "OUTPUT.quarantine.jsonl with file, line and reason. `shard=0/4` annotates the first of four parts.");
  add_stage_command(app, invocation, "sft", Stage::sft,
                    "Stage 3: fine-tune a language model on responses conditioned on their attributes", run_files);
  add_stage_command(app, invocation, "bootstrap", Stage::bootstrap,
                    "Stage 4: sample at the best labels, annotate again, fine-tune again", run_files);
  add_stage_command(app, invocation, "steerlm2", Stage::steerlm2,
                    "SteerLM 2.0: sample several responses a prompt, weigh them by three models, train on the weights",
                    run_files);
  add_stage_command(app, invocation, "evaluate", Stage::evaluate,
                    "Measure a predictor, a model's perplexity and how well the dials steer",
                    "Prints tables on standard output; evaluation.json and evaluation.txt go to the run directory.");
  add_crossvalidate(app, invocation);
  add_stage_command(app, invocation, "run", std::nullopt,
                    "Run a recipe of any stage; the stages tokenizer and generate have no command of their own",
                    run_files);
  add_stage_command(app, invocation, "pipeline", Stage::pipeline, "Run a list of stages, one after another",
                    "Each step is a process of its own with the run directory run_dir/NAME. Steps whose recipe and "
                    "inputs have not changed\n"
                    "are skipped; a change makes a step and what depends on it run again.");
}

}  // namespace steerlm
