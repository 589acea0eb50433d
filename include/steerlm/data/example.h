#pragma once

#include <cstdint>
#include <vector>

namespace steerlm {

// One training sequence.
struct Example {
  std::vector<std::int32_t> ids;     // (n)
  std::vector<std::uint8_t> target;  // (n) 1: this token is predicted and trained; empty for regression
  std::vector<float> labels;         // (a) regression: one an attribute, NaN unknown; empty for a language model
  std::uint64_t dialogue = 0;        // hash64 of Record::dialogue, by which parts are held out
};

}  // namespace steerlm
