#include "steerlm/eval/diversity.h"

#include <cstdint>
#include <string>
#include <unordered_map>
#include <unordered_set>

#include "eval/words.h"

namespace steerlm {

Diversity diversity(std::span<const std::string_view> answers) {
  std::unordered_map<std::string, std::uint64_t> words;  // each with a number of its own
  std::unordered_set<std::uint64_t> pairs;
  std::unordered_map<std::string_view, std::int64_t> times;
  std::int64_t word_count = 0, pair_count = 0, repeated = 0;
  for (const std::string_view answer : answers) {
    ++times[answer];
    std::uint64_t before = 0;
    bool first = true;
    for (const std::string_view word : split_words(answer).words) {
      const std::uint64_t number = words.emplace(lower_case(word), words.size()).first->second;
      ++word_count;
      if (!first) {
        pairs.insert(before << 32 | number);
        ++pair_count;
      }
      before = number;
      first = false;
    }
  }
  for (const auto& [answer, count] : times) repeated += count > 1 ? count : 0;
  const auto share = [](auto part, auto all) { return static_cast<double>(part) / static_cast<double>(all); };
  return {share(words.size(), word_count), share(pairs.size(), pair_count), share(repeated, answers.size())};
}

}  // namespace steerlm
