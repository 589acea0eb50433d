// Whether a folder's tokenizer.model and tokenizer.json say the same.
#pragma once

#include <string>

#include "text/json_tokenizer.h"
#include "text/spm_tokenizer.h"

namespace steerlm {

// The first difference in vocabulary, added tokens, prefix or BOS, as a clause for a message; "": they agree. Leading
// spaces are left out, which the two formats treat differently by their nature.
std::string difference(const SpmTokenizer& spm, const JsonTokenizer& json);

// The same for a tokenizer.json that is not read, from its pieces and added tokens alone. Throws model: no JSON, no
// vocabulary in it.
std::string difference_in_pieces(const SpmTokenizer& spm, const std::string& bytes, const std::string& where);

}  // namespace steerlm
