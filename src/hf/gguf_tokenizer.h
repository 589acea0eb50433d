// The tokenizer of a GGUF file, as the files of a Hugging Face folder.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "hf/gguf_keys.h"
#include "steerlm/nn/options.h"

namespace steerlm {

struct GgufTokenizer {
  std::vector<std::pair<std::string, std::string>> files;  // name and bytes
  std::optional<std::int64_t> bos_id;
  std::vector<std::int64_t> eos_ids;  // of the end of a text, of a turn and of a message: by key, then by text
};

// `model` "gpt2", byte-level BPE: a tokenizer.json whose pre-tokenizer is the one that tokenizer.ggml.pre names;
// `model` "llama", sentencepiece's BPE: a tokenizer.model. Beside either a tokenizer_config.json, and the chat template
// as it is. Throws model for another kind, a pre-tokenizer that is not known, or pieces and merges that do not fit
// together.
GgufTokenizer read_gguf_tokenizer(GgufKeys& keys, const ModelConfig& config);

}  // namespace steerlm
