#pragma once

#include <span>
#include <string>
#include <vector>

#include "recipe/yaml.h"

namespace steerlm {

// Sets each `dotted.path[0].key=value` in the tree; sections and list items that are not there yet are made. A step of
// a pipeline goes by its name too, `steps.sft.seed=2`. `~dotted.path` and `dotted.path=null` remove a key, a step or a
// list item; one that is not there is a fault. A value that starts with a bracket or a quote is YAML in flow
// style, any other is taken as it is written. What is malformed is a fault that quotes it.
void apply_overrides(Yaml& root, std::span<const std::string> overrides, std::vector<Fault>& faults);

}  // namespace steerlm
