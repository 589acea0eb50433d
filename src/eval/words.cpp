#include "eval/words.h"

namespace steerlm {
namespace {

constexpr utf8proc_int32_t right_quote = 0x2019;  // the apostrophe of typeset text

bool is_digit(utf8proc_int32_t c) { return c >= '0' && c <= '9'; }

bool is_word_part(utf8proc_int32_t c) {
  if (c < 0x80) return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c);
  const utf8proc_category_t category = utf8proc_category(c);
  return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_NO;  // L*, M*, N* stand in a row
}

// A mark goes on with what it stands behind. One that follows no letter and no digit, as the variation selector of an
// emoji, is no word.
bool begins_word(utf8proc_int32_t c) {
  if (!is_word_part(c)) return false;
  const utf8proc_category_t category = utf8proc_category(c);
  return category < UTF8PROC_CATEGORY_MN || category > UTF8PROC_CATEGORY_ME;
}

}  // namespace

CodePoint code_point_at(std::string_view text, size_t at) {
  utf8proc_int32_t value = -1;
  const utf8proc_ssize_t length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data() + at),
                                                   static_cast<utf8proc_ssize_t>(text.size() - at), &value);
  if (length <= 0) return {};
  return {value, static_cast<size_t>(length)};
}

Words split_words(std::string_view text) {
  Words found;
  bool open_sentence = false;  // words since the last end
  for (size_t i = 0; i < text.size();) {
    CodePoint point = code_point_at(text, i);
    if (!begins_word(point.value)) {
      const bool is_end = point.value == '.' || point.value == '!' || point.value == '?';
      if (is_end && open_sentence) {
        ++found.sentences;
        open_sentence = false;
      }
      i += point.length;
      continue;
    }
    const size_t begin = i;
    bool after_digit = false;
    for (; i < text.size(); i += point.length) {
      point = code_point_at(text, i);
      if (!is_word_part(point.value)) {
        const size_t behind = i + point.length;
        if (behind >= text.size()) break;
        const utf8proc_int32_t next = code_point_at(text, behind).value;
        const bool joins = point.value == '\'' || point.value == right_quote || point.value == '-';
        if (!(joins && begins_word(next)) && !(point.value == '.' && after_digit && is_digit(next))) break;
      }
      after_digit = is_digit(point.value);
    }
    found.words.push_back(text.substr(begin, i - begin));
    open_sentence = true;
  }
  if (open_sentence) ++found.sentences;
  return found;
}

std::string lower_case(std::string_view word) {
  std::string lower;
  for (size_t i = 0; i < word.size();) {
    const CodePoint point = code_point_at(word, i);
    utf8proc_uint8_t bytes[4];
    const utf8proc_ssize_t length = utf8proc_encode_char(utf8proc_tolower(point.value), bytes);
    lower.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
    i += point.length;
  }
  return lower;
}

}  // namespace steerlm
