// The sampling step of bootstrap and steerlm2, a run of its own in the run directory of the stage.
#pragma once

#include <string>
#include <vector>

#include "steerlm/data/record_reader.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"

namespace steerlm {

// Starts the run, puts the bad records aside, samples into output_path, which the next step reads, and finishes the
// run. Of `job` the caller gives model, sampling, prompts, samples_per_prompt, requests and lines; a prompt that leaves
// no room for a response is counted and left out. Throws data where no response has ended.
Outcome sample_step(const Recipe& step, RunDirectory& run, const std::string& output_path,
                    const std::vector<BadRecord>& bad, SampleJob job, const Context& context);

}  // namespace steerlm
