// Does a model say the same thing again and again?
#pragma once

#include <span>
#include <string_view>

namespace steerlm {

// Over all words of all answers; a word is one of eval/text_measures.h, in lower case, and no pair of words spans two
// answers. Distinct n-grams are those of Li et al. (2016, "A diversity-promoting objective function for neural
// conversation models", section 5.1), and fall with the amount of text: compare only what is about as long.
struct Diversity {
  double distinct_1 = 0;  // different words / words; NaN without a word
  double distinct_2 = 0;  // different pairs of neighbouring words / such pairs; NaN without one
  double repeated = 0;    // share of the answers that equal another one byte for byte; NaN without an answer
};

Diversity diversity(std::span<const std::string_view> answers);

}  // namespace steerlm
