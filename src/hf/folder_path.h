// What a path is that should be a model folder.
#pragma once

#include <string>

#include "steerlm/core/fs.h"

namespace steerlm {

// Throws model where `path` is no folder or may not be entered, and names what it is instead: a GGUF or weight file, a
// run directory, a name on the Hugging Face hub, nothing.
void check_model_folder(const Path& path);

// "owner/name", where a model of that name may be on the hub: advice on how to fetch it, else "".
std::string hub_advice(const std::string& name);

}  // namespace steerlm
