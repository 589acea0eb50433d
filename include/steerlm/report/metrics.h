// metrics.jsonl: a JSON object a line, with `step` and `time` first.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

double unix_seconds();

using Metrics = std::vector<std::pair<std::string, double>>;  // in the order in which they are written

class MetricsFile {
 public:
  // Appends to `path`, which is made if need be. `clock`: seconds since 1970 for `time`. All members throw resources
  // where the file cannot be read or written.
  explicit MetricsFile(const Path& path, std::function<double()> clock = unix_seconds);

  // One line, in the kernel's hands when this returns. Numbers are written so that they read back as they were, in the
  // fewest digits; NaN and infinities as null.
  void write(std::int64_t step, const Metrics& values);
  void sync();  // on disk

  // For a resume from the checkpoint of `step`: lines of later steps go, and so does a torn last line; the others stay
  // byte for byte. Step 0 empties the file.
  void cut_back(std::int64_t step);

 private:
  OutputFile file_;
  std::function<double()> clock_;
};

// The line of `write`, without the line end.
std::string format_metrics(std::int64_t step, double time, const Metrics& values);

}  // namespace steerlm
