// The words of a text, and where its code points are.
#pragma once

#include <utf8proc.h>

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace steerlm {

struct Words {
  std::vector<std::string_view> words;  // views into the text
  std::int64_t sentences = 0;
};

// eval/text_measures.h says what a word and a sentence are.
Words split_words(std::string_view text);

// In lower case, code point by code point.
std::string lower_case(std::string_view word);

// A code point and its length in bytes. A byte that is no part of well-formed UTF-8 is the code point -1 of length 1.
struct CodePoint {
  utf8proc_int32_t value = -1;
  size_t length = 1;
};
CodePoint code_point_at(std::string_view text, size_t at);

}  // namespace steerlm
