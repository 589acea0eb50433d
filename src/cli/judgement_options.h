// What `judgements write` and `experiment --write-judgements` have in common.
#pragma once

#include <CLI/App.hpp>

#include "steerlm/cli/compute.h"

namespace steerlm {

// --answers and --judge; returns the first.
CLI::Option* add_comparison_options(CLI::App& command, ComparisonArguments& arguments);

}  // namespace steerlm
