#include "steerlm/core/error.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

// This program computes on the CPU; a recipe that asks for a GPU gets an answer and no silent substitute.
void require_cpu(const std::string& device) {
  if (device == "auto" || device == "cpu") return;
  fail(
      ExitCode::resources,
      {.what = "no CUDA library is part of this build", .where = "device", .found = device, .expected = "cpu or auto"});
}

}  // namespace

Outcome run_stage(const Recipe& given, const Context& context) {
  require_cpu(given.device);
  const Recipe recipe = settle_recipe(given);
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
