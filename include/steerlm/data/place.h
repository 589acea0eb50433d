// Where a record is, as every message names it.
#pragma once

#include <cstdint>
#include <string>

namespace steerlm {

// "train.jsonl:7"
inline std::string place(const std::string& file, std::int64_t line) {
  return (file == "-" ? std::string("standard input") : file) + ":" + std::to_string(line);
}

}  // namespace steerlm
