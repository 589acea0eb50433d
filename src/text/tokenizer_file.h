// Finding and reading a tokenizer.model.
#pragma once

#include <string>

#include "steerlm/core/fs.h"

namespace steerlm {

// The model file of `path`, which is the file itself or its folder. Throws model where there is none.
Path find_model_file(const Path& path);

// Its bytes. Throws model: unreadable, empty, over 1 GB, a Git LFS pointer, JSON.
std::string read_model_file(const Path& file);

}  // namespace steerlm
