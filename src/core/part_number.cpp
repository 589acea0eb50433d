#include "steerlm/core/part_number.h"

#include <algorithm>
#include <charconv>

namespace steerlm {
namespace {

std::optional<std::int64_t> parse_count(std::string_view text) {
  constexpr size_t most_digits = 9;
  if (text.empty() || text.size() > most_digits || (text.size() > 1 && text.front() == '0')) return std::nullopt;
  if (!std::ranges::all_of(text, [](char c) { return c >= '0' && c <= '9'; })) return std::nullopt;
  std::int64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

}  // namespace

std::optional<PartNumber> parse_part_number(std::string_view text) {
  const size_t slash = text.find('/');
  if (slash == std::string_view::npos) return std::nullopt;
  const auto index = parse_count(text.substr(0, slash)), count = parse_count(text.substr(slash + 1));
  if (!index || !count || *count == 0) return std::nullopt;
  return PartNumber{*index, *count};
}

}  // namespace steerlm
