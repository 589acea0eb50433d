// The commands with a recipe: train-predictor, annotate, sft, bootstrap, steerlm2, evaluate, run, pipeline,
// crossvalidate.
#include <filesystem>
#include <optional>
#include <string>

#include "commands/commands.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/stop.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

Context context_of(const RecipeRun& arguments, Log& log) {
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

// What can be read once only, standard input or a pipe, is not looked into before.
bool is_pipeline(const std::string& recipe) {
  std::error_code error;
  return recipe != "-" && std::filesystem::is_regular_file(recipe, error) &&
         peek_stage(read_file(recipe, ExitCode::recipe, "recipe")) == Stage::pipeline;
}

void begin_limits(Log& log) {
  install_stop_handlers();
  stop_with_parent();
  if (const std::string slurm = stop_at_slurm_end(); !slurm.empty()) log.info(slurm);
}

}  // namespace

int commands::run_recipe(const RecipeRun& arguments) {
  Log log(arguments.quiet);
  begin_limits(log);
  const Context context = context_of(arguments, log);
  if (!arguments.seeds.empty()) {
    if (!arguments.only.empty() || !arguments.from.empty()) {
      fail(ExitCode::recipe, {.what = "--seeds runs whole pipelines",
                              .where = "--seeds",
                              .found = "--only or --from",
                              .advice = "give these with seed=K run_dir=RUN_DIR/seed-K instead"});
    }
    return run_pipeline_seeds(arguments.recipe, arguments.overrides, arguments.seeds,
                              this_program("run the pipelines one after another with seed=K run_dir=RUN_DIR/seed-K"),
                              context);
  }
  if (arguments.stage == Stage::pipeline || (!arguments.stage && is_pipeline(arguments.recipe))) {
    return run_pipeline(arguments.recipe, arguments.overrides, {.only = arguments.only, .from = arguments.from},
                        this_program("run the steps one after another with `steerlm run`"), context);
  }
  const Recipe recipe = load_recipe(arguments.recipe, arguments.overrides, arguments.stage);
  if (context.machine) require_forecast(recipe);
  if (recipe.max_minutes > 0) stop_after(60 * recipe.max_minutes, "max_minutes");
  const Outcome outcome = run_stage(recipe, context);
  return static_cast<int>(outcome == Outcome::done ? ExitCode::done : ExitCode::stopped);
}

int commands::crossvalidate(const RecipeRun& arguments) {
  Log log(arguments.quiet);
  begin_limits(log);
  const Context context = context_of(arguments, log);
  const Recipe recipe = load_recipe(arguments.recipe, arguments.overrides, Stage::train_predictor);
  return run_crossvalidation(
      recipe, arguments.folds,
      this_program("run the trainings one after another with `steerlm train-predictor` and data.fold"), context);
}

}  // namespace steerlm
