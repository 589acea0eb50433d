// Scoring many sequences: packed, longest first, in batches of at most `batch_tokens`. What is batched together depends
// on the sequences of one call alone.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "steerlm/data/example.h"
#include "steerlm/nn/transformer.h"

namespace steerlm {

// Natural log-probability of each target token of each example, 0 for the others: one entry a token.
std::vector<std::vector<double>> token_log_probabilities(const Transformer& model, std::span<const Example> examples,
                                                         std::int64_t batch_tokens);

// The attribute head at the last token of each example: one score an attribute, raw.
std::vector<std::vector<float>> attribute_scores(const Transformer& model, std::span<const Example> examples,
                                                 std::int64_t batch_tokens);

// What that head reads: the hidden state of the last token of each example after the final norm, (n, d) fp32 on the
// CPU.
at::Tensor last_hidden_states(const Transformer& model, std::span<const Example> examples, std::int64_t batch_tokens);

}  // namespace steerlm
