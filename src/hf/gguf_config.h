// What a GGUF file says of its model, as the config of a Hugging Face folder.
#pragma once

#include "hf/gguf_keys.h"
#include "steerlm/hf/config.h"

namespace steerlm {

// Names of keys: gguf.md of ggml, and src/llama-arch.cpp of llama.cpp for those that came later. Throws model for
// an architecture, a key or a value that is not implemented. The tokens' ids are not looked at here.
HfConfig read_gguf_config(GgufKeys& keys);

// Keys that the tokenizer and the config leave unread: throws model for one that might change what is computed, all of
// them at once. What is left is of no consequence.
void check_unused_gguf_keys(const GgufKeys& keys);

}  // namespace steerlm
