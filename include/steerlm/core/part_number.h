// One part of n, as shards and folds are named.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace steerlm {

struct PartNumber {
  std::int64_t index = 0, count = 0;
};

// "i/n": whole numbers of at most nine digits and without leading zeros, n from 1; whether i is one of n is the
// caller's to ask. Nothing for any other text.
std::optional<PartNumber> parse_part_number(std::string_view text);

}  // namespace steerlm
