// One page about runs: an HTML file that needs no network and no script.
#pragma once

#include <span>
#include <string>
#include <vector>

namespace steerlm {

// `runs`: run directories, those of pipelines with all their steps. The page is a function of the files in them (and of
// the outputs of annotations, where they are found): the same files, the same bytes. What is missing or damaged is said
// in the page. Throws resources for a folder that is no run directory. `outputs`: gets the outputs that the recipes of
// the runs name, which the page is not to replace.
std::string make_report(std::span<const std::string> runs, std::vector<std::string>* outputs = nullptr);

}  // namespace steerlm
