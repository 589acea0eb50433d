// The stages: each is one function, read top to bottom. They throw Error; stopping on request is a return value.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"
#include "steerlm/text/tokenizer_training.h"

namespace steerlm {

Outcome run_train_predictor(const Recipe& recipe, const Context& context);  // stage 1
Outcome run_annotate(const Recipe& recipe, const Context& context);         // stage 2
Outcome run_sft(const Recipe& recipe, const Context& context);              // stage 3
Outcome run_bootstrap(const Recipe& recipe, const Context& context);        // stage 4
Outcome run_steerlm2(const Recipe& recipe, const Context& context);         // SteerLM 2.0
Outcome run_generate(const Recipe& recipe, const Context& context);
Outcome run_evaluate(const Recipe& recipe, const Context& context);
Outcome run_tokenizer(const Recipe& recipe, const Context& context);

// `tokenizer train` without a recipe.
TrainedTokenizer train_tokenizer_on_files(const TokenizerOptions& options, std::int64_t seed);

// Whichever the recipe is.
Outcome run_stage(const Recipe& recipe, const Context& context);
// The same for a recipe that is settled; a dry run says nothing of the run directory.
Outcome run_settled_stage(const Recipe& recipe, const Context& context);

// `program`: the file to run each step with. Returns the exit code of the step that ended it, or 0.
struct PipelineSelection {
  std::string only;  // run this step alone
  std::string from;  // start with this step
};
int run_pipeline(const std::string& recipe_path, const std::vector<std::string>& overrides,
                 const PipelineSelection& selection, const std::string& program, const Context& context);

// The pipeline once for each seed, in run_dir/seed-K, and then the figures of the steps' evaluation.json over the
// seeds: printed, and in run_dir/seeds.txt and seeds.json. What is done already is not done again. Result as
// run_pipeline's. Throws recipe where two seeds would write one output.
int run_pipeline_seeds(const std::string& recipe_path, const std::vector<std::string>& overrides,
                       const std::vector<std::int64_t>& seeds, const std::string& program, const Context& context);

// Cross-validation of a train-predictor recipe: for each of `folds` parts of data.train's dialogues a training on the
// others, in run_dir/fold-1 and so on; its tables are printed and go to crossvalidation.txt and crossvalidation.json.
// Trainings that are finished already are not run again. `program` and result as run_pipeline's. Throws recipe where
// the recipe holds out data itself.
int run_crossvalidation(const Recipe& recipe, std::int64_t folds, const std::string& program, const Context& context);

}  // namespace steerlm
