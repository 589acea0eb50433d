// A GGUF file of llama.cpp as a model folder: config, tokenizer, chat template, and every weight as the number that its
// block stands for. Untrusted input.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "steerlm/hf/config.h"
#include "steerlm/store/gguf.h"

namespace steerlm {

struct GgufImport {
  HfConfig config;
  std::vector<std::string> unused_keys;  // of no consequence, but not in the folder
  std::vector<std::string> notes;        // of the folder's tokenizer
};

// Architectures llama, qwen2 and qwen3. llama.cpp keeps queries and keys of `llama` with the rows of a head in pairs
// that are turned together (2i, 2i + 1); Hugging Face has them half a head apart, (i, i + head_dim / 2), and so has the
// folder. Weights are written in `dtype` (fp32, bf16, fp16), rounded to nearest even; beside one tensor in fp32 (two
// where rows change places) little memory is needed. Nothing or an empty folder may be at `output`. Throws model for
// what is not implemented or does not fit together, a weight that is not finite or would be infinite in `dtype`;
// resources for a folder that cannot be written.
GgufImport import_gguf(const GgufFile& file, const Path& output, const std::string& dtype,
                       std::uint64_t max_shard_bytes);

}  // namespace steerlm
