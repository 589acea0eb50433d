// Sequences side by side on one token axis, never padded.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "steerlm/data/example.h"

namespace steerlm {

// n tokens of b sequences, a attributes.
struct Batch {
  std::vector<std::int64_t> ids;         // (n)
  std::vector<std::int64_t> targets;     // (n) the next token; 0 at the end of a sequence
  std::vector<float> weights;            // (n) of targets[i]: its example's, 0 where it is not trained
  std::vector<std::int64_t> cu_seqlens;  // (b + 1)
  std::vector<float> labels;             // (b, a) row-major, NaN unknown; empty for a language model
  std::vector<double> strengths;         // (b) Example::strength
};

// The one place where targets are shifted: weights[i] is the example's weight where target[i + 1] is 1 inside a
// sequence; 1 where `weighted` is false. Empty examples are a bug of the caller.
Batch make_batch(std::span<const Example* const> examples, bool weighted = true);

std::vector<const Example*> pointers_to(std::span<const Example> examples);

// Tokens that a batch with this example trains: the first token of a sequence is never predicted.
std::int64_t target_count(const Example& example);
// Attribute values that a regression batch with this example trains.
std::int64_t label_count(const Example& example);
// The example's weight in the mean over the targets: that of each target times their number.
double target_weight(const Example& example);

}  // namespace steerlm
