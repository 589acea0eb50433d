#include <stdexcept>

#include "stages/settle.h"
#include "steerlm/stages/recipe_files.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/stages.h"

namespace steerlm {

Outcome run_stage(const Recipe& given, const Context& context) {
  check_standard_input(given, context.recipe);
  const Recipe recipe = settle_recipe(given);
  if (context.dry_run && !recipe.run_dir.empty()) report_run(recipe, context);
  return run_settled_stage(recipe, context);
}

Outcome run_settled_stage(const Recipe& recipe, const Context& context) {
  switch (recipe.stage) {
    case Stage::tokenizer:
      return run_tokenizer(recipe, context);
    case Stage::train_predictor:
      return run_train_predictor(recipe, context);
    case Stage::annotate:
      return run_annotate(recipe, context);
    case Stage::sft:
      return run_sft(recipe, context);
    case Stage::bootstrap:
      return run_bootstrap(recipe, context);
    case Stage::steerlm2:
      return run_steerlm2(recipe, context);
    case Stage::generate:
      return run_generate(recipe, context);
    case Stage::evaluate:
      return run_evaluate(recipe, context);
    case Stage::pipeline:
      break;
  }
  throw std::logic_error("a pipeline is no single stage");
}

}  // namespace steerlm
