// The language-model predictor (SteerLM section 3.1): it writes the label after the response. Names are forced; at each
// value the model's probabilities of the allowed values alone decide.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/text/attributes.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

struct DecodedLabel {
  std::vector<float> best;      // the most probable allowed value of each attribute; the smaller one on a tie
  std::vector<float> expected;  // expectation over the allowed values
};

// Throws `code` where the tokenizer does not tell the values of an attribute apart by one piece, as a rule those of a
// range of both signs or of numbers with two digits: a language model cannot be their predictor.
void check_label_values(const Tokenizer& tokenizer, const Attributes& attributes, ExitCode code);

// `prefixes`: token ids up to where the label begins (ConversationTemplate::encode_label_prefix). Throws model where
// the tokenizer does not tell two values apart by one piece, data where a prefix leaves no room for the label. `go_on`
// is asked before each step; where it says false the result is empty.
std::vector<DecodedLabel> decode_labels(const Transformer& model, const Tokenizer& tokenizer,
                                        const Attributes& attributes,
                                        std::span<const std::vector<std::int32_t>> prefixes, std::int64_t slots,
                                        const std::function<bool()>& go_on = {});

}  // namespace steerlm
