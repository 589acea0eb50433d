// What is wrong with a command line, in our own words.
#pragma once

#include <CLI/App.hpp>

#include "steerlm/core/error.h"

namespace steerlm {

// Whether what the parser threw is a request for help or the version: of the program or of a command that exists.
bool asks_for_help(CLI::App& root, int argc, char** argv, const CLI::ParseError& error);

// Any other error of the parser.
Fault explain(CLI::App& root, int argc, char** argv, const CLI::ParseError& error);

// What the parser lets through: arguments that are empty, integers that
// do not fit, paths that only a shell would expand. Throws recipe.
void check_arguments(const CLI::App& root);

}  // namespace steerlm
