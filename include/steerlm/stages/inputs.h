// What a command reads, for the check that its output lies elsewhere.
#pragma once

#include <string>
#include <vector>

#include "steerlm/data/block_job.h"
#include "steerlm/data/shard.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// A model folder, the base that it adapts, and the run directory whose model/ it is.
std::vector<std::string> model_inputs(const std::string& folder);

// Those of a recipe or command line, with the run directories of the model folders among them.
std::vector<std::string> with_run_directories(std::vector<std::string> inputs);

// The files right below a run directory that are the run's own, and the folder of its marker.
std::vector<std::string> run_directory_files(const std::string& run_dir);

// For an output that a recipe names: its inputs, the recipe's own file, and the files of its run directory.
BlockOutputOptions output_options(const Recipe& recipe, const Context& context);
// What makes two outputs the same: the recipe without the keys that a run may change, the inputs, and how records are
// read.
Json output_identity(const Recipe& recipe, const Json& inputs);
// What the shards of one job have in common.
Json shard_job(const Recipe& recipe, const Json& inputs);
// The files that a run has written: the output, and of a shard the file that describes it and its list of bad records.
std::vector<std::string> outputs_of(const std::string& output, const Shard& shard);

}  // namespace steerlm
