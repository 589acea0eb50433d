// Scoring many sequences, packed in batches. What is batched together depends on the sequences of one call alone.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "steerlm/data/example.h"
#include "steerlm/nn/transformer.h"

namespace steerlm {

// How sequences are batched: at most `tokens` at once, but a longer sequence is a batch by itself. On a CPU the threads
// share them, each with a batch of its own, for a model of the size that cost.h says and where no bit depends on it
// (fp32, linear.h).
//   without `units`  longest first, which fills batches best
//   with `units`     in the order of the sequences, so that results come in their order. Entry u is the end of unit u,
//                    whose sequences are the next ones from the end of unit u - 1 on. A unit is in one batch, or in
//                    several of its own where it has more than `tokens`: the batches from a unit on do not depend on
//                    the units before it, so that a call for the rest of the units makes the same ones.
struct Batching {
  Batching(std::int64_t most_tokens, std::span<const size_t> unit_ends = {}) : tokens(most_tokens), units(unit_ends) {}
  std::int64_t tokens;
  std::span<const size_t> units;
};

// Called, where there are units, with the results of all sequences of the units that are done, each time that there are
// more. False ends: the results of the others are empty.
template <class Result>
using Watch = std::function<bool(std::span<const Result> first)>;

// Natural log-probability of each target token of each example, 0 for the others: one entry a token.
using TokenScores = std::vector<double>;
std::vector<TokenScores> token_log_probabilities(const Transformer& model, std::span<const Example> examples,
                                                 const Batching& batching, const Watch<TokenScores>& watch = {});

// The attribute head of each example: one score an attribute, raw.
using AttributeScores = std::vector<float>;
std::vector<AttributeScores> attribute_scores(const Transformer& model, HeadPooling pooling,
                                              std::span<const Example> examples, const Batching& batching,
                                              const Watch<AttributeScores>& watch = {});

// What that head reads: the hidden states after the final norm, of the last token of each example or their mean from
// Example::pool_begin on; (n, d) fp32 on the CPU.
at::Tensor pooled_hidden_states(const Transformer& model, HeadPooling pooling, std::span<const Example> examples,
                                std::int64_t batch_tokens);

}  // namespace steerlm
