// train-predictor, annotate, sft, bootstrap, steerlm2, evaluate, crossvalidate, run and pipeline: each takes a recipe.
#include <charconv>
#include <memory>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// What every command with a recipe takes.
CLI::App* add_recipe_command(CLI::App& app, const std::string& name, const std::string& help, const std::string& more,
                             RecipeRun& arguments) {
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
  for (const std::string& part : split(text)) {
    std::int64_t seed = 0;
    const char* const end = part.data() + part.size();
    const auto [last, error] = std::from_chars(part.data(), end, seed);
    if (error != std::errc() || last != end || seed < 0) {
      fail(ExitCode::recipe, {.what = "no list of seeds",
                              .where = "--seeds",
                              .found = "'" + text + "'",
                              .expected = "integers of at least 0, joined by commas, such as 1,2,3"});
    }
    seeds.push_back(seed);
  }
  return seeds;
}

// What follows --merge OUT are shards: the first stands where a recipe does.
JobArguments merge_of(const RecipeRun& arguments) {
  JobArguments job = arguments.job;
  job.overwrite = arguments.overwrite;
  job.quiet = arguments.quiet;
  job.shards = {arguments.recipe};
  job.command = "annotate";
  job.shards.insert(job.shards.end(), arguments.overrides.begin(), arguments.overrides.end());
  return job;
}

void add_stage_command(CLI::App& app, Invocation& invocation, const std::string& name, std::optional<Stage> stage,
                       const std::string& help, const std::string& more) {
  const auto arguments = std::make_shared<RecipeRun>();
  arguments->stage = stage;
  CLI::App* command = add_recipe_command(app, name, help, more, *arguments);
  if (stage == Stage::pipeline) {
    command->add_option("--only", arguments->only, "run only the step of this name");
    command->add_option("--from", arguments->from, "start with the step of this name");
    command->add_option_function<std::string>(
        "--seeds", [arguments](const std::string& text) { arguments->seeds = parse_seeds(text); },
        "run once with each of these seeds, in run_dir/seed-K, and table the figures: 1,2,3");
  }
  if (stage == Stage::annotate) add_merge_options(*command, arguments->job);
  command->callback([&invocation, arguments] {
    if (!arguments->job.merge.empty()) {
      invocation.action = [&invocation, arguments] { return invocation.compute().merge(merge_of(*arguments)); };
      return;
    }
    invocation.action = [&invocation, arguments] { return invocation.compute().run_recipe(*arguments); };
  });
}

void add_crossvalidate(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<RecipeRun>();
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
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().crossvalidate(*arguments); };
  });
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
  add_stage_command(
      app, invocation, "evaluate", Stage::evaluate,
      "Measure a predictor, a model's perplexity and how well the dials steer",
      "Prints tables on standard output; all tables are in evaluation.txt of the run directory, and as numbers in "
      "evaluation.json.");
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
