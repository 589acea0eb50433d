// What the command line says beside the recipe, and where a stage speaks.
#pragma once

#include <optional>
#include <string>

#include "steerlm/nn/cards.h"
#include "steerlm/report/log.h"

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

// How a stage ended. Stopping on request is no error: everything is saved.
enum class Outcome { done, stopped };

}  // namespace steerlm
