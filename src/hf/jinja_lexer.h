// The tokens of a chat template.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace steerlm::jinja {

struct Token {
  enum class Kind { text, name, number, string, sign, begin, end };  // begin, end: of {{ and {%, text says which
  Kind kind;
  std::string text;
};

// With trim_blocks and lstrip_blocks. Throws Unreadable.
std::vector<Token> tokens_of(std::string_view source);

}  // namespace steerlm::jinja
