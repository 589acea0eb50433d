// The program: parse, run, catch, exit code.
#pragma once

#include <functional>

#include "steerlm/cli/compute.h"

namespace steerlm {

struct Invocation {
  const ComputeCommands& (*compute)();  // loads what computes where that is not there yet; throws resources
  std::function<int()> action;          // what the parsed command does; its return value is the exit code
};

// Runs one command line. Results go to stdout, everything else to stderr; returns the exit code of contracts.md
// section 1. `compute` is called by commands that compute alone.
int run_program(int argc, char** argv, const ComputeCommands& (*compute)());

// Runs `action` and turns what it throws into messages on stderr and an exit code: Error gives its own, out of memory
// 5, the rest 70.
int run_caught(const std::function<int()>& action);

// libsteerlm_compute.so, which lies in lib/ of the build folder or in lib/steerlm of an installed tree. Throws
// resources where it cannot be loaded.
const ComputeCommands& load_compute_commands();

}  // namespace steerlm
