#include "steerlm/eval/readability.h"

#include "eval/words.h"

namespace steerlm {
namespace {

bool is_vowel(char c) { return std::string_view("aeiouyAEIOUY").find(c) != std::string_view::npos; }

std::int64_t count_syllables(std::string_view word) {
  std::int64_t groups = 0;
  for (size_t i = 0; i < word.size(); ++i) groups += is_vowel(word[i]) && (i == 0 || !is_vowel(word[i - 1])) ? 1 : 0;
  const size_t n = word.size();
  // "make" has one, "table" two: a final e after one consonant is silent, but not after consonant + l.
  const bool final_e = n > 2 && (word[n - 1] == 'e' || word[n - 1] == 'E') && !is_vowel(word[n - 2]);
  const bool spoken = final_e && (word[n - 2] == 'l' || word[n - 2] == 'L') && !is_vowel(word[n - 3]);
  if (final_e && !spoken) --groups;
  return groups < 1 ? 1 : groups;
}

}  // namespace

Readability readability(std::string_view text) {
  const Words found = split_words(text);
  Readability result{.words = static_cast<std::int64_t>(found.words.size()), .sentences = found.sentences};
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    result.characters += point.value >= 0 ? 1 : 0;
    i += point.length;
  }
  for (std::string_view word : found.words) result.syllables += count_syllables(word);
  if (result.words > 0) {
    const double words = static_cast<double>(result.words);
    result.grade = 0.39 * words / static_cast<double>(result.sentences) +
                   11.8 * static_cast<double>(result.syllables) / words - 15.59;
  }
  return result;
}

}  // namespace steerlm
