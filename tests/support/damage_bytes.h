// One random edit of some bytes: a cut, an insertion, a deletion, an overwrite, numbers that sizes are made of among
// them.
#pragma once

#include <cstdint>
#include <cstring>
#include <iterator>
#include <string>

#include "steerlm/core/rng.h"

namespace steerlm {

// Nothing is done to no bytes.
inline void damage_bytes(std::string& bytes, Rng& rng) {
  constexpr std::uint64_t numbers[] = {
      0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x2000000000000000};
  if (bytes.empty()) return;
  const size_t at = rng.below(bytes.size());
  const std::uint64_t kind = rng.below(6);
  if (kind == 0) bytes.resize(at);
  if (kind == 1) bytes.insert(at, 1 + rng.below(9), static_cast<char>(rng.below(256)));
  if (kind == 2) bytes.erase(at, 1 + rng.below(9));
  if (kind == 3) bytes[at] = static_cast<char>(rng.below(256));
  char number[sizeof(std::uint64_t)];
  std::memcpy(number, &numbers[rng.below(std::size(numbers))], sizeof number);
  if (kind == 4) bytes.replace(at, 8, number, 8);
  if (kind == 5) bytes.replace(at, 4, number, 4);
}

}  // namespace steerlm
