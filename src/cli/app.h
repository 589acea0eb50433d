// The program: parse, run, catch, exit code.
#pragma once

#include <functional>

namespace steerlm {

// What the parsed command does; its return value is the exit code.
struct Invocation {
  std::function<int()> action;
};

// Runs one command line. Results go to stdout, everything else to stderr; returns the exit code of contracts.md
// section 1.
int run_program(int argc, char** argv);

// Runs `action` and turns what it throws into messages on stderr and an exit code: Error gives its own, out of memory
// 5, the rest 70.
int run_caught(const std::function<int()>& action);

}  // namespace steerlm
