// Comparisons for a judge of the user's: what `judgements write` and `experiment --write-judgements` have in common.
#pragma once

#include <CLI/App.hpp>
#include <string>
#include <vector>

namespace steerlm {

struct ComparisonArguments {
  std::vector<std::string> answers;  // NAME=FILE
  std::string output;
  std::string judge;  // "": somebody outside; toy: the oracle of the toy language
  bool overwrite = false;
};

// --answers and --judge; returns the first.
CLI::Option* add_comparison_options(CLI::App& command, ComparisonArguments& arguments);

// Throws recipe for the arguments and the places, data for the answers. Returns the exit code.
int write_comparisons(const ComparisonArguments& arguments);

}  // namespace steerlm
