// What the command line says beside the recipe, and where a stage speaks.
#pragma once

#include "steerlm/report/log.h"

namespace steerlm {

struct Context {
  bool fresh = false;    // start over: what this run directory holds of an earlier run is removed
  bool dry_run = false;  // open everything, say what would be done, write nothing
  bool quiet = false;
  Log* log = nullptr;  // never null in a stage
};

// How a stage ended. Stopping on request is no error: everything is saved.
enum class Outcome { done, stopped };

}  // namespace steerlm
