// Where a record is, as every message names it.
#pragma once

#include <cstdint>
#include <string>

namespace steerlm {

// "train.jsonl:7"
inline std::string place(const std::string& file, std::int64_t line) {
  return (file == "-" ? std::string("standard input") : file) + ":" + std::to_string(line);
}

// A path as one word of a shell, for commands that a message gives: 'it'\''s a.jsonl'.
inline std::string shell_word(const std::string& path) {
  std::string word = "'";
  for (const char c : path) word += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return word + "'";
}

}  // namespace steerlm
