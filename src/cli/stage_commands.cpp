// train-predictor, annotate, sft, bootstrap, steerlm2, evaluate, run and pipeline: each takes a recipe.
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/inference_options.h"
#include "steerlm/core/stop.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

struct StageArguments {
  std::string recipe;
  std::vector<std::string> overrides;
  PipelineSelection selection;
  bool fresh = false, overwrite = false, dry_run = false, quiet = false;
};

// The file that this process runs, for a pipeline's steps.
std::string this_program() {
  std::error_code error;
  const Path program = std::filesystem::read_symlink("/proc/self/exe", error);
  if (error) {
    fail(ExitCode::resources, {.what = "cannot find this program's own file: " + error.message(),
                               .where = "/proc/self/exe",
                               .expected = "a mounted /proc",
                               .advice = "run the steps one after another with `steerlm run`"});
  }
  return program.string();
}

int run(const StageArguments& arguments, std::optional<Stage> stage) {
  install_stop_handlers();
  Log log(arguments.quiet);
  const Context context{.fresh = arguments.fresh,
                        .overwrite = arguments.overwrite,
                        .dry_run = arguments.dry_run,
                        .quiet = arguments.quiet,
                        .recipe = arguments.recipe,
                        .log = &log};
  if (stage == Stage::pipeline) {
    return run_pipeline(arguments.recipe, arguments.overrides, arguments.selection, this_program(), context);
  }
  const Recipe recipe = load_recipe(arguments.recipe, arguments.overrides, stage);
  const Outcome outcome = run_stage(recipe, context);
  return static_cast<int>(outcome == Outcome::done ? ExitCode::done : ExitCode::stopped);
}

void add_stage_command(CLI::App& app, Invocation& invocation, const std::string& name, std::optional<Stage> stage,
                       const std::string& help, const std::string& more) {
  const auto arguments = std::make_shared<StageArguments>();
  CLI::App* command = app.add_subcommand(name, help);
  command->footer(more);
  command->add_option("RECIPE", arguments->recipe, "recipe file, '-' for standard input")->required();
  command->add_option("OVERRIDES", arguments->overrides,
                      "key=value, such as optimizer.learning_rate=1e-5 or data.train[0].path=x.jsonl");
  command->add_flag("--fresh", arguments->fresh,
                    "start over: what the run directory holds of an earlier run is removed");
  add_overwrite(*command, arguments->overwrite);
  command->add_flag("--dry-run", arguments->dry_run,
                    "open model, tokenizer and data, forecast steps, time and memory; write nothing");
  command->add_flag("--quiet", arguments->quiet, "warnings and errors only");
  if (stage == Stage::pipeline) {
    command->add_option("--only", arguments->selection.only, "run only the step of this name");
    command->add_option("--from", arguments->selection.from, "start with the step of this name");
  }
  command->callback(
      [&invocation, arguments, stage] { invocation.action = [arguments, stage] { return run(*arguments, stage); }; });
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
  add_stage_command(app, invocation, "run", std::nullopt,
                    "Run a recipe of any stage; the stages tokenizer and generate have no command of their own",
                    run_files);
  add_stage_command(app, invocation, "pipeline", Stage::pipeline, "Run a list of stages, one after another",
                    "Each step is a process of its own with the run directory run_dir/NAME. Steps whose recipe and "
                    "inputs have not changed\n"
                    "are skipped; a change makes a step and what depends on it run again.");
}

}  // namespace steerlm
