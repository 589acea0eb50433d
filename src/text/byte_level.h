// GPT-2's spelling of bytes as printable characters (Radford et al. 2019, encoder.py, bytes_to_unicode): the bytes that
// are printable in Latin-1 stand for themselves, the other 68 for U+0100 and up in their order.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace steerlm {

// The character of a byte.
char32_t byte_character(unsigned char byte);
// The bytes that `spelling` stands for; nothing where a character stands for no byte.
std::optional<std::string> spelled_bytes(std::string_view spelling);

}  // namespace steerlm
