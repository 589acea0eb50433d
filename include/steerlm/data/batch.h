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
  std::vector<float> weights;            // (n) 1: targets[i] is trained, 0: it is not
  std::vector<std::int64_t> cu_seqlens;  // (b + 1)
  std::vector<float> labels;             // (b, a) row-major, NaN unknown; empty for a language model
};

// The one place where targets are shifted: weights[i] = target[i + 1] inside a sequence. Empty examples are a bug of
// the caller.
Batch make_batch(std::span<const Example* const> examples);

// Tokens that a batch with this example trains: the first token of a sequence is never predicted.
std::int64_t target_count(const Example& example);
// Attribute values that a regression batch with this example trains.
std::int64_t label_count(const Example& example);

}  // namespace steerlm
