// Finding and reading a tokenizer.model or tokenizer.json.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

// What `path` has of a tokenizer: the file itself, or of a folder tokenizer.model, tokenizer.json or both. Throws model
// where there is none, and says which other tokenizer the folder has.
std::vector<Path> find_tokenizer_files(const Path& path);

// Its bytes. Throws model: unreadable, empty, over 1 GB, a Git LFS pointer, JSON of more than 256 MB.
std::string read_tokenizer_file(const Path& file);
// Whether they are a tokenizer.json, not a sentencepiece model: by the name, or by a first byte that starts no such
// model.
bool is_json(const Path& file, std::string_view bytes);
// Whether they are a vocabulary of tiktoken: lines of base64 and a rank, as Llama 3 and Qwen have them.
bool is_tiktoken(std::string_view bytes);

}  // namespace steerlm
