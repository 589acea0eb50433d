#include "steerlm/data/split.h"

#include <algorithm>
#include <optional>

#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/part_number.h"

namespace steerlm {
namespace {

// The index is from 1.
PartNumber parse_fold(const std::string& text) {
  const std::optional<PartNumber> fold = parse_part_number(text);
  if (fold && fold->index >= 1 && fold->index <= fold->count) return *fold;
  fail(ExitCode::recipe, {.what = "not a fold",
                          .where = "data.fold",
                          .found = "'" + text + "'",
                          .expected = "k/n with k from 1 to n, such as 1/5"});
}

}  // namespace

bool is_validation(const std::string& dialogue, double fraction) {
  // 53 bits of the hash as a number in [0, 1).
  return static_cast<double>(hash64(dialogue) >> 11) * 0x1.0p-53 < fraction;
}

bool is_held_out(const std::string& dialogue, const DataOptions& data) {
  if (data.fold.empty()) return is_validation(dialogue, data.validation_fraction);
  const PartNumber fold = parse_fold(data.fold);
  return fold_of(dialogue, fold.count) == fold.index;
}

std::int64_t fold_of(const std::string& dialogue, std::int64_t count) {
  // floor(u n) of the hash's upper 32 bits as u in [0, 1)
  return static_cast<std::int64_t>((hash64(dialogue) >> 32) * static_cast<std::uint64_t>(count) >> 32) + 1;
}

bool holds_out(const DataOptions& data) { return data.validation_fraction > 0 || !data.fold.empty(); }

std::vector<std::int64_t> dialogue_folds(std::span<const std::uint64_t> dialogues, std::int64_t folds) {
  std::vector<std::uint64_t> distinct(dialogues.begin(), dialogues.end());
  // In an order that does not follow the hash's upper bits, by which data.fold cuts.
  const auto order = [](std::uint64_t hash) { return hash * 0x9E3779B97F4A7C15u; };
  std::ranges::sort(distinct, {}, order);
  distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
  std::vector<std::int64_t> parts;
  for (const std::uint64_t dialogue : dialogues) {
    const auto place = std::ranges::lower_bound(distinct, order(dialogue), {}, order);
    parts.push_back((place - distinct.begin()) % folds);
  }
  return parts;
}

}  // namespace steerlm
