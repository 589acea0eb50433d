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
    field("max_new_tokens", max_new_tokens, between(1, largest_count::tokens), "longest response, in tokens");
  }
};

enum class BetaEdges { equal, half };
template <>
struct EnumNames<BetaEdges> {
  static constexpr std::array<std::pair<BetaEdges, std::string_view>, 2> table{
      {{BetaEdges::equal, "equal"}, {BetaEdges::half, "half"}}};
};

enum class BetaCombination { product, geometric_mean };
template <>
struct EnumNames<BetaCombination> {
  static constexpr std::array<std::pair<BetaCombination, std::string_view>, 2> table{
      {{BetaCombination::product, "product"}, {BetaCombination::geometric_mean, "geometric_mean"}}};
};

struct BetaOptions {
  double concentration = 24;
  BetaEdges edges = BetaEdges::equal;
  BetaCombination combination = BetaCombination::product;

  void fields(auto& field) {
    field("concentration", concentration, above(0),
          "alpha + beta of the law: the larger, the surer the predictor is taken to be of its score");
    field("edges", edges,
          "bins of the values: equal parts of [0, 1], or cut half-way between the normalised values (half)");
    field("combination", combination,
          "probability of several attributes: the product of theirs, or their geometric mean");
  }
};

}  // namespace steerlm
