#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace steerlm {

struct ProcessResult {
  int code = 0;                  // exit code; 128 + signal where a signal ended it
  std::int64_t peak_memory = 0;  // bytes, resident
};

// Runs `program arguments…` with `input` on standard input. A request to stop is passed on; the process ends with this
// one, also where this one is killed.
ProcessResult run_process(const std::string& program, const std::vector<std::string>& arguments,
                          const std::string& input);

}  // namespace steerlm
