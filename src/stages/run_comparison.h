// Whether the run that a folder holds is one of a recipe and its inputs: contracts.md section 4.
#pragma once

#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/run_files.h"
#include "steerlm/recipe/recipe.h"

namespace steerlm {

inline constexpr const char* ledger_name = "ledger.jsonl";

// Something was computed from the inputs: a run that ended on a damaged one has not got that far.
bool has_results(const RunFiles& files);

// What keeps the run in the folder from being one of this recipe and these inputs; empty: nothing. The run directories
// around it may have been moved, with what the runs in them make of each other.
std::vector<std::string> run_differences(const RunFiles& files, const Recipe& recipe, const Json& inputs);

}  // namespace steerlm
