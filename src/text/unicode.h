// Characters and their properties, for valid UTF-8.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace steerlm {

inline constexpr std::string_view replacement_character = "\xEF\xBF\xBD";  // U+FFFD

// The bytes of the character that starts with `lead`.
inline size_t utf8_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte < 0x80 ? 1 : byte < 0xE0 ? 2 : byte < 0xF0 ? 3 : 4;
}
// The character at the front of a text that is not empty.
char32_t first_character(std::string_view text);
char32_t last_character(std::string_view text);

// Unicode's White_Space.
bool is_space(char32_t character);
// Unicode's word characters as UTS 18 has them: alphabetic, marks, decimal digits, connector punctuation, join
// controls.
bool is_word(char32_t character);
// The bytes of the white space that the text starts or ends with.
size_t leading_space(std::string_view text);
size_t trailing_space(std::string_view text);

// Normalization Form C.
std::string normalize_nfc(std::string_view text);

// Every `pattern`, from left to right, becomes `content`.
std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content);

// U+FFFD for each byte that belongs to no character, as sentencepiece reads and decodes bytes.
std::string replace_bad_bytes(std::string_view bytes);
// U+FFFD for each maximal part of a character that is cut off, and for each byte that starts none (Unicode 15, section
// 3.9).
std::string replace_bad_parts(std::string_view bytes);

}  // namespace steerlm
