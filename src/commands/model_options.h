// What the commands of `steerlm model` share.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "steerlm/hf/model_folder.h"

namespace steerlm {

// Throws recipe for a --dtype that is none of supported_dtypes().
void check_dtype(const std::string& dtype);
// Tensors of all sizes come one after another; main() keeps freed memory in the heap, where they would leave holes.
void give_large_tensors_back();

// Bytes of "300MB", as Transformers reads it: decimal KB, MB, GB, TB, a fraction allowed; a bare number is bytes.
// Throws recipe.
std::uint64_t parse_shard_size(const std::string& text);

// Calls `write` with the folder that check_output_folder gave. A regular file that is there, which --overwrite allows,
// stays until the folder is whole, which is then made beside it: `write` gets that place.
void make_output_folder(const Path& folder, const std::function<void(const Path& folder)>& write);

}  // namespace steerlm
