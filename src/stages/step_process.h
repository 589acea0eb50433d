#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/stages/context.h"

namespace steerlm {

struct ProcessResult {
  int code = 0;                  // exit code; 128 + signal where one ended it
  bool killed = false;           // by a signal
  std::int64_t peak_memory = 0;  // bytes, resident
};

// Runs `program arguments…` with `input` on standard input. A signal to stop and a time limit are passed on; the
// process ends with this one, also where this one is killed.
ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& input);

// A command of this program as a process of its own.
struct StepProcess {
  std::string title;  // of its lines in the log
  std::vector<std::string> arguments;
  std::string input;  // on standard input: the recipe of `run -`
};
// Runs it with `program` and says how it ended. Returns its exit code; of a process that a signal ended, the one that
// tells why. Throws resources where the program cannot be run any more.
int run_step(const StepProcess& step, const std::string& program, const Context& context);

}  // namespace steerlm
