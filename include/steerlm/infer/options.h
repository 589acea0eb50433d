#pragma once

#include <cstdint>

#include "steerlm/core/fields.h"

namespace steerlm {

struct SamplingOptions {
  std::int64_t top_k = 50;
  double temperature = 1.0;
  double top_p = 1.0;
  std::int64_t max_new_tokens = 512;

  void fields(auto& field) {
    field("top_k", top_k, at_least(0), "sample from the k most probable tokens; 0: all");
    field("temperature", temperature, at_least(0), "0: greedy");
    field("top_p", top_p, between(0, 1), "sample from the smallest set of tokens with this probability");
    field("max_new_tokens", max_new_tokens, at_least(1), "longest response, in tokens");
  }
};

}  // namespace steerlm
