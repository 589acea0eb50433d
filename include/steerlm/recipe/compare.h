// Recipes of runs that lie in another run's directory, as the steps of a pipeline and the parts of bootstrap and
// steerlm2 do: the directories around them may be moved, and what the runs in them make of each other moves along.
#pragma once

#include <string>
#include <vector>

namespace steerlm {

// The folder that is `levels` above the run directory of a dumped recipe, as the recipe spells it; "" where its run_dir
// has not so many names, and for no level.
std::string folder_above(const std::string& recipe, int levels);

// As differing_keys of recipe/load.h. Paths in the folder `levels` above each one's run directory are compared from
// there on.
std::vector<std::string> differing_keys_of_part(const std::string& before, const std::string& now, int levels);

}  // namespace steerlm
