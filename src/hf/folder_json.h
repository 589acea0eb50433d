// The JSON files of a model folder. Untrusted input.
#pragma once

#include <string_view>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"

namespace steerlm {

// One file, a symbolic link followed; `what` names its kind ("model config"). Throws model: missing,
// no regular file, over 16 MiB, a Git LFS pointer, no strict JSON.
Json read_folder_json(const Path& path, std::string_view what);

}  // namespace steerlm
