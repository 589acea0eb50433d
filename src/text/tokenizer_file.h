// Finding and reading a tokenizer.model or tokenizer.json.
#pragma once

#include <string>
#include <string_view>

#include "steerlm/core/fs.h"

namespace steerlm {

// The tokenizer file of `path`, which is the file itself or its folder; of a folder tokenizer.model before
// tokenizer.json. Throws model where there is none.
Path find_tokenizer_file(const Path& path);

// Its bytes. Throws model: unreadable, empty, over 1 GB, a Git LFS pointer, JSON of more than 256 MB.
std::string read_tokenizer_file(const Path& file);
// Whether they are a tokenizer.json, not a sentencepiece model: by the name, or by a first byte that starts no such
// model.
bool is_json(const Path& file, std::string_view bytes);

}  // namespace steerlm
