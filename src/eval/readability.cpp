#include "steerlm/eval/readability.h"

#include <string>

namespace steerlm {
namespace {

bool is_letter_or_digit(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         static_cast<unsigned char>(c) >= 0x80;
}

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
  Readability found;
  bool open_sentence = false;  // words since the last end
  for (size_t i = 0; i < text.size();) {
    if (!is_letter_or_digit(text[i])) {
      const bool is_end = text[i] == '.' || text[i] == '!' || text[i] == '?';
      if (is_end && open_sentence) {
        ++found.sentences;
        open_sentence = false;
      }
      ++i;
      continue;
    }
    const size_t begin = i;
    const auto joins = [&](size_t place) {  // ' - and the dot of a decimal number between two letters or digits
      const bool mark = text[place] == '\'' || text[place] == '-' || (text[place] == '.' && text[place - 1] <= '9');
      return mark && place + 1 < text.size() && is_letter_or_digit(text[place + 1]);
    };
    while (i < text.size() && (is_letter_or_digit(text[i]) || joins(i))) ++i;
    ++found.words;
    found.syllables += count_syllables(text.substr(begin, i - begin));
    open_sentence = true;
  }
  if (open_sentence) ++found.sentences;
  for (char c : text) found.characters += (static_cast<unsigned char>(c) & 0xC0) != 0x80 ? 1 : 0;
  if (found.words > 0) {
    const double words = static_cast<double>(found.words);
    found.grade = 0.39 * words / static_cast<double>(found.sentences) +
                  11.8 * static_cast<double>(found.syllables) / words - 15.59;
  }
  return found;
}

}  // namespace steerlm
