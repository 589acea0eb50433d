#pragma once

#include <string>

#include "steerlm/core/run_files.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// Before a table or page is made again: one that somebody has changed since the run wrote it is kept as NAME.previous,
// with a warning. Throws resources where that name is taken.
void keep_changed(RunFiles& files, const std::string& name, const Context& context);

}  // namespace steerlm
