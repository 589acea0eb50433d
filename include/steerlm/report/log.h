// What a run says: short lines on standard error, dated ones in the run directory's log.txt.
#pragma once

#include <functional>
#include <memory>
#include <string_view>

#include "steerlm/core/fs.h"

namespace steerlm {

// standard error  "message", "warning: message", "error: message"; with `quiet` warnings and errors only
// log.txt         "2026-11-24 15:43:02 info message", local time, everything
class Log {
 public:
  explicit Log(bool quiet = false);
  // For tests: lines go to `write` as they would to standard error.
  Log(bool quiet, bool terminal, std::function<void(std::string_view)> write);
  static Log silent();  // says nothing anywhere
  ~Log();
  Log(Log&&) noexcept;

  // From here on lines are appended to `path` too; the first file gets those of before first, in which a run has opened
  // its model and data. Throws resources where it cannot be opened; later calls throw resources where a line cannot be
  // written.
  void open_file(const Path& path);

  void info(std::string_view message);
  void note(std::string_view message);  // to log.txt alone
  void warn(std::string_view message);
  void error(std::string_view message);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace steerlm
