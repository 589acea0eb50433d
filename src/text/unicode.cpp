#include "text/unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "steerlm/core/utf8.h"
#include "text/unicode_additions.h"

namespace steerlm {
namespace {

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

// The bytes at the front that a well-formed character could start with (Unicode 15, table 3-7), at least one.
size_t bad_part(std::string_view bytes) {
  const auto at = [&](size_t i) { return i < bytes.size() ? static_cast<unsigned char>(bytes[i]) : 0u; };
  const unsigned lead = at(0);
  if (lead < 0xC2 || lead > 0xF4) return 1;
  const unsigned low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const unsigned high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (at(1) < low || at(1) > high) return 1;
  size_t length = 2;
  while (length + 1 < utf8_length(bytes[0]) && length < bytes.size() && is_continuation(bytes[length])) ++length;
  return length;
}

template <class Length>
std::string replace_bad(std::string_view bytes, Length length) {
  std::string text;
  while (const auto bad = find_invalid_utf8(bytes)) {
    text += bytes.substr(0, *bad);
    text += replacement_character;
    bytes.remove_prefix(*bad + length(bytes.substr(*bad)));
  }
  text += bytes;
  return text;
}

}  // namespace

char32_t first_character(std::string_view text) {
  const size_t length = utf8_length(text[0]);
  const auto lead = static_cast<unsigned char>(text[0]);
  if (length == 1) return lead;
  char32_t character = lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) character = character << 6 | (static_cast<unsigned char>(text[i]) & 0x3Fu);
  return character;
}

char32_t last_character(std::string_view text) {
  size_t at = text.size() - 1;
  while (at > 0 && is_continuation(text[at])) --at;
  return first_character(text.substr(at));
}

bool is_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 || (c >= 0x2000 && c <= 0x200A) ||
         c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F || c == 0x3000;
}

bool is_word(char32_t c) {
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC:
      return true;
    case UTF8PROC_CATEGORY_SO:  // letters in circles and squares are alphabetic
      return (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) || (c >= 0x1F150 && c <= 0x1F169) ||
             (c >= 0x1F170 && c <= 0x1F189);
    case UTF8PROC_CATEGORY_CN:
      return std::ranges::any_of(unicode_additions, [&](const UnicodeAddition& range) {
        return c >= range.first && c <= range.last &&
               (range.category[0] == 'L' || range.category[0] == 'M' || range.category[1] == 'd');
      });
    default:
      return c == 0x200C || c == 0x200D;
  }
}

size_t leading_space(std::string_view text) {
  size_t at = 0;
  while (at < text.size() && is_space(first_character(text.substr(at)))) at += utf8_length(text[at]);
  return at;
}

size_t trailing_space(std::string_view text) {
  size_t end = text.size();
  while (end > 0 && is_space(last_character(text.substr(0, end)))) {
    do --end;
    while (end > 0 && is_continuation(text[end]));
  }
  return text.size() - end;
}

std::string normalize_nfc(std::string_view text) {
  // Characters below U+0300, lead bytes below 0xCC, neither compose with what is before them nor decompose.
  if (std::ranges::none_of(text, [](char c) { return static_cast<unsigned char>(c) >= 0xCC; }))
    return std::string(text);
  utf8proc_uint8_t* bytes = nullptr;
  const auto length =
      utf8proc_map(reinterpret_cast<const utf8proc_uint8_t*>(text.data()), static_cast<utf8proc_ssize_t>(text.size()),
                   &bytes, static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  if (length < 0) throw std::bad_alloc();  // the only fault left for valid UTF-8
  const std::unique_ptr<utf8proc_uint8_t, decltype(&std::free)> owner(bytes, &std::free);
  return std::string(reinterpret_cast<const char*>(bytes), static_cast<size_t>(length));
}

std::string replace_all(std::string_view text, std::string_view pattern, std::string_view content) {
  std::string result;
  for (size_t at = text.find(pattern); at != std::string_view::npos; at = text.find(pattern)) {
    result += text.substr(0, at);
    result += content;
    text.remove_prefix(at + pattern.size());
  }
  return result += text;
}

std::string replace_bad_bytes(std::string_view bytes) {
  return replace_bad(bytes, [](std::string_view) { return size_t{1}; });
}

std::string replace_bad_parts(std::string_view bytes) { return replace_bad(bytes, bad_part); }

}  // namespace steerlm
