#include "text/byte_level.h"

#include <array>

#include "text/unicode.h"

namespace steerlm {
namespace {

constexpr bool stands_for_itself(unsigned byte) {
  return (byte >= 0x21 && byte <= 0x7E) || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

struct ByteTables {
  std::array<char32_t, 256> character{};
  std::array<int, 0x144> byte{};  // -1: none

  constexpr ByteTables() {
    byte.fill(-1);
    unsigned next = 0x100;
    for (unsigned b = 0; b < 256; ++b) {
      character[b] = stands_for_itself(b) ? b : next++;
      byte[character[b]] = static_cast<int>(b);
    }
  }
};
constexpr ByteTables tables;

}  // namespace

char32_t byte_character(unsigned char byte) { return tables.character[byte]; }

std::optional<std::string> spelled_bytes(std::string_view spelling) {
  std::string bytes;
  for (size_t at = 0; at < spelling.size(); at += utf8_length(spelling[at])) {
    const char32_t character = first_character(spelling.substr(at));
    if (character >= tables.byte.size() || tables.byte[character] < 0) return std::nullopt;
    bytes += static_cast<char>(tables.byte[character]);
  }
  return bytes;
}

}  // namespace steerlm
