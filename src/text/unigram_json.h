// A sentencepiece Unigram model as tokenizer.json. Transformers 5 takes every tokenizer.model of a Llama folder for
// BPE, so that a Unigram model needs the file beside it.
#pragma once

#include "steerlm/core/json.h"
#include "text/spm_model.h"

namespace steerlm {

// Unigram with sentencepiece's scores, spaces and dummy prefix. Pieces that a user defined stay pieces of the model,
// which finds them everywhere, as sentencepiece does.
Json unigram_tokenizer_json(const SpmModel& model);

}  // namespace steerlm
