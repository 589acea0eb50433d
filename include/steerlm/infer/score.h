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

// The attribute head of each example: one score an attribute, raw.
std::vector<std::vector<float>> attribute_scores(const Transformer& model, HeadPooling pooling,
                                                 std::span<const Example> examples, std::int64_t batch_tokens);

// What that head reads: the hidden states after the final norm, of the last token of each example or their mean from
// Example::pool_begin on; (n, d) fp32 on the CPU.
at::Tensor pooled_hidden_states(const Transformer& model, HeadPooling pooling, std::span<const Example> examples,
                                std::int64_t batch_tokens);

}  // namespace steerlm
