#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "steerlm/text/template.h"

namespace steerlm {

// One training sequence.
struct Example {
  std::vector<std::int32_t> ids;     // (n)
  std::vector<std::uint8_t> target;  // (n) 1: this token is predicted and trained; empty for regression
  std::vector<float> labels;         // (a) regression: one an attribute, NaN unknown; empty for a language model
  std::uint64_t dialogue = 0;        // hash64 of Record::dialogue, by which parts are held out
  double weight = 1;                 // of each of its targets in the loss and in what the loss is divided by
  std::int64_t group = -1;           // neighbours of one number are a group; -1: the example is one by itself
  double strength = 0;               // of the preference for the first of a pair over the second, its neighbour
  double sampling_log_p = 0;         // SteerLM 2.0: log Q'(y|a,x) of the policy that wrote the response
  size_t pool_begin = 0;             // regression: the first token whose hidden state HeadPooling::mean takes in
};

// What a regression head scores, without labels.
inline Example scored_example(ScoredTurn turn) {
  Example example{.ids = std::move(turn.ids), .target = {}, .labels = {}};
  example.pool_begin = turn.value_begin;
  return example;
}

// Whether two neighbours are of one group.
inline bool same_group(const Example& a, const Example& b) { return a.group >= 0 && a.group == b.group; }

}  // namespace steerlm
