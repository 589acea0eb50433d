// The tokens of a chat template: text, and what stands in {{ }} and {% %}.
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

// Throws Unreadable (hf/jinja.h).
std::vector<Token> tokens_of(std::string_view source);

}  // namespace steerlm::jinja
