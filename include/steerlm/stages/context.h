// What the command line says beside the recipe, and where a stage speaks.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "steerlm/core/stop.h"
#include "steerlm/nn/cards.h"
#include "steerlm/report/log.h"
#include "steerlm/report/progress.h"

namespace steerlm {

struct Context {
  bool fresh = false;      // start over: what this run directory holds of an earlier run is removed
  bool overwrite = false;  // an output file that this run did not write is replaced
  bool dry_run = false;    // open everything, say what would be done, write nothing
  bool quiet = false;
  std::optional<Machine> machine;  // of a dry run: the forecast is for this one
  std::string recipe;              // the file that the recipe was read from, "-" for standard input
  Log* log = nullptr;              // never null in a stage
};

// For a look at everything that a run will read before its --fresh removes anything: a dry run that says nothing.
inline Context look_ahead(const Context& context, Log& silent) {
  Context look = context;
  look.dry_run = true;
  look.log = &silent;
  return look;
}

// Standard error, and a line a minute in log.txt.
inline ProgressOutput progress_output(const Context& context) {
  ProgressOutput output = standard_error_progress(context.quiet);
  output.log = [log = context.log](std::string_view line) { log->note(line); };
  return output;
}

// How fast a job was, at its end; nothing where it did nothing. `seconds` are those of computing and writing, of this
// process alone, without what opening models and encoding training data takes; `of`: what, where a job has several
// parts.
inline void tell_throughput(const Context& context, std::int64_t conversations, std::int64_t tokens, double seconds,
                            const std::string& of = "") {
  const std::string speed = describe_throughput(conversations, tokens, seconds);
  if (!speed.empty()) context.log->info(of.empty() ? speed : of + ": " + speed);
}

// How a stage ended. Stopping on request is no error: everything is saved.
enum class Outcome { done, stopped };

// What a run says that ends by stop_requested().
inline Outcome tell_stopped(const Context& context) {
  context.log->info("stopped " + stop_reason() + "; everything is saved, the same command goes on");
  return Outcome::stopped;
}

}  // namespace steerlm
