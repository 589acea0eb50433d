// What `generate` and `score` have in common as jobs: an output that a stopped or killed command goes on with, limits
// of time, shards, and putting shards together.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/cli/compute.h"
#include "steerlm/core/lock.h"
#include "steerlm/core/output.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/shard.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/recipe_files.h"

namespace steerlm {

// From here on signals and time limits stop the job; what Slurm's limit comes to is said. `log` must live on.
Context begin_job(const JobArguments& arguments, Log& log);

// Beside a file the output has OUTPUT.part with what is done and OUTPUT.part.ledger, which says of what: `settings` and
// `inputs`, by their hashes. The same command goes on there. What is written straight through has neither.
struct JobOutput {
  std::unique_ptr<OutputLock> lock;
  Shard shard;
  Json job;  // what the shards of one job have in common
  std::string output;
  BlockOutput blocks;
};
// check_output, before anything is loaded; an output that is there is no fault where the ledger says that it is the
// same command's: a kill may fall between its getting its name and the end of the ledger.
OutputPlace check_job_output(const JobArguments& arguments, const OutputOptions& options);
JobOutput open_job_output(const JobArguments& arguments, const OutputOptions& options, const Json& settings,
                          std::vector<RecipeInput> inputs, std::vector<std::string> counts);

// The output gets its name; the ledger goes. False where a stop was requested while the output was packed.
bool finish_job_output(JobOutput& job, const ShardInput& input);

// What is begun is removed again, for a job that turns out to have nothing to do.
void discard_job_output(const JobOutput& job);

// The exit code of a job that was stopped, which is said.
int end_stopped(const JobArguments& arguments, const Context& context);

}  // namespace steerlm
