// Length and reading level of a text.
#pragma once

#include <cstdint>
#include <limits>
#include <string_view>

namespace steerlm {

// characters, words and sentences as eval/text_measures.h says.
// syllables: at least one a word, else its groups of vowels (a e i o u y), less a silent final e.
// grade: Flesch-Kincaid, 0.39 words / sentences + 11.8 syllables / words - 15.59 (Kincaid et al. 1975); NaN for a
// text without words.
struct Readability {
  std::int64_t characters = 0;
  std::int64_t words = 0;
  std::int64_t sentences = 0;
  std::int64_t syllables = 0;
  double grade = std::numeric_limits<double>::quiet_NaN();
};

Readability readability(std::string_view text);

}  // namespace steerlm
