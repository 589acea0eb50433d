// Whether a run is that of a recipe. A run may lie in another run's directory, as the steps of a pipeline and the parts
// of bootstrap and steerlm2 do: the directories around it may be moved, and what the runs in them make of each other
// moves along.
#pragma once

#include <string>
#include <vector>

namespace steerlm {

// The folder that is `levels` above the run directory of a dumped recipe, as the recipe spells it; "" where its run_dir
// has not so many names, and for no level.
std::string folder_above(const std::string& recipe, int levels);

// What sets two dumped recipes apart, "optimizer.learning_rate: 5e-06 -> 1e-05" a key, `before` being the run's and
// `now` the new one. Not counted: what changes no result (run_dir, device, checkpoint, max_minutes, batch_tokens,
// on_bad_record, max_bad_share, data.cache_dir, train.max_minutes, train.recompute, head.features), and a train.steps
// or train.epochs that has grown. Paths in the folder `levels` above each one's run directory are compared from there
// on: it may have been moved. Empty: the same.
std::vector<std::string> differing_keys(const std::string& before, const std::string& now, int levels = 0);

}  // namespace steerlm
