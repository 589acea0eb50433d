// A sentencepiece model as the tokenizer.json with which the library `tokenizers`, and so Transformers, gives its ids.
#pragma once

#include <string>

#include "steerlm/core/json.h"
#include "text/spm_model.h"

namespace steerlm {

// What the model does that no tokenizer.json does; "": there is one.
std::string beyond_tokenizer_json(const SpmModel& model);
// What the model does that LlamaTokenizer of Transformers 5 does not, which takes a tokenizer.model for BPE that leaves
// a text as it is; "": nothing.
std::string beyond_llama_tokenizer(const SpmModel& model);

Json spm_tokenizer_json(const SpmModel& model);

}  // namespace steerlm
