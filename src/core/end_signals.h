// A signal that ends the process (Ctrl-C, SIGTERM, a closed terminal, a batch system's warning) removes the temporaries
// of its outputs first. Where a command handles a signal itself, that is left to it.
#pragma once

#include "steerlm/core/fs.h"

namespace steerlm {

void remove_at_signal(const Path& path);  // a file, or a folder of files
void forget_at_signal(const Path& path);

}  // namespace steerlm
