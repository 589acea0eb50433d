// Whether the outputs of a pipeline's steps keep clear of what else the pipeline reads and writes.
#pragma once

#include <string>
#include <vector>

#include "stages/pipeline_step.h"

namespace steerlm {

// What a pipeline itself writes into its run directory.
inline constexpr const char* pipeline_files[] = {"log.txt", "recipe.yaml", "environment.json", "report.html",
                                                 ".steerlm-run"};

// Throws recipe, with a fault for each output that is a file of the pipeline itself, of a step's run directory, an
// input that no earlier step makes, or an output of another step, and for each input that a later step makes. `steps`
// are all of the pipeline; `recipe_file` is "-" for standard input.
void check_pipeline_outputs(const std::vector<Step>& steps, const Path& run_dir, const std::string& recipe_file);

}  // namespace steerlm
