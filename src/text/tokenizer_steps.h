// The parts of a tokenizer.json around its model.
#pragma once

#include "steerlm/core/json.h"
#include "text/tokenizer_json.h"

namespace steerlm {

// Each takes its part of the file, nullptr where it is null or not there, and fills its part of `result`. Throws model
// for what is not implemented. read_post_processor looks its tokens up in the vocabulary and the added tokens, which
// must be read.
void read_normalizer(const Json* json, const std::string& where, TokenizerJson& result);
void read_pre_tokenizer(const Json* json, const std::string& where, TokenizerJson& result);
void read_decoder(const Json* json, const std::string& where, TokenizerJson& result);
void read_post_processor(const Json* json, const std::string& where, TokenizerJson& result);

}  // namespace steerlm
