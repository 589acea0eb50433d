#include "text/bpe.h"

#include <algorithm>
#include <bit>
#include <queue>

#include "text/unicode.h"

namespace steerlm {
namespace {

constexpr size_t short_word = 64;  // symbols; for more a heap beats the scan for the lowest rank

std::uint64_t pair_key(std::int32_t left, std::int32_t right) {
  return static_cast<std::uint64_t>(left) << 32 | static_cast<std::uint32_t>(right);
}

}  // namespace

void RankTable::reserve(size_t count) {
  const size_t size = std::bit_ceil(std::max<size_t>(2 * count, 16));
  entries.assign(size, {});
  shift = 64 - static_cast<unsigned>(std::countr_zero(size));
}

void RankTable::set(std::uint64_t key, std::uint32_t rank, std::int32_t id) {
  size_t at = static_cast<size_t>(key * 0x9E3779B97F4A7C15ull >> shift);
  while (entries[at].key != UINT64_MAX && entries[at].key != key) at = (at + 1) & (entries.size() - 1);
  entries[at] = {key, rank, id};
}

const RankTable::Entry* RankTable::find(std::uint64_t key) const {
  size_t at = static_cast<size_t>(key * 0x9E3779B97F4A7C15ull >> shift);
  while (entries[at].key != key) {
    if (entries[at].key == UINT64_MAX) return nullptr;
    at = (at + 1) & (entries.size() - 1);
  }
  return &entries[at];
}

Bpe::Bpe(StringIds pieces, const std::array<std::int32_t, 256>& bytes, const std::vector<Merge>& merges,
         Options options)
    : options_(options), bytes_(bytes) {
  merges_.reserve(merges.size());
  for (size_t rank = 0; rank < merges.size(); ++rank) {
    merges_.set(pair_key(merges[rank].left, merges[rank].right), static_cast<std::uint32_t>(rank), merges[rank].result);
  }
  characters_.reserve(options.byte_level ? 0 : pieces.size());
  if (!options.byte_level) {
    for (const auto& [text, id] : pieces) {
      if (!text.empty() && utf8_length(text[0]) == text.size()) characters_.set(first_character(text), 0, id);
    }
  }
  whole_ = std::move(pieces);
  if (options.ignore_merges) return;
  std::vector<std::int32_t> symbols;
  std::erase_if(whole_, [&](const auto& piece) {
    symbols.clear();
    start(piece.first, symbols);
    merge(symbols);
    return symbols.size() != 1 || symbols[0] != piece.second;
  });
}

void Bpe::encode(std::string_view word, std::vector<std::int32_t>& ids) const {
  if (const auto whole = whole_.find(word); whole != whole_.end()) {
    ids.push_back(whole->second);
    return;
  }
  std::vector<std::int32_t> symbols;
  start(word, symbols);
  merge(symbols);
  ids.insert(ids.end(), symbols.begin(), symbols.end());
}

// The symbols before any merge.
void Bpe::start(std::string_view word, std::vector<std::int32_t>& symbols) const {
  symbols.reserve(word.size());
  bool unknown_before = false;
  const auto add_unknown = [&] {
    if (options_.unknown < 0) return;
    if (!unknown_before || !options_.fuse_unknown) symbols.push_back(options_.unknown);
    unknown_before = true;
  };
  const auto add = [&](std::int32_t id) {
    symbols.push_back(id);
    unknown_before = false;
  };
  const auto add_bytes = [&](std::string_view bytes) {
    for (const char byte : bytes) {
      const std::int32_t id = bytes_[static_cast<unsigned char>(byte)];
      id < 0 ? add_unknown() : add(id);
    }
  };
  if (options_.byte_level) return add_bytes(word);
  for (size_t at = 0; at < word.size();) {
    const std::string_view character = word.substr(at, utf8_length(word[at]));
    if (const auto* known = characters_.find(first_character(character))) {
      add(known->id);
    } else if (options_.byte_fallback) {
      add_bytes(character);
    } else {
      add_unknown();
    }
    at += character.size();
  }
}

void Bpe::merge(std::vector<std::int32_t>& symbols) const {
  symbols.size() <= short_word ? merge_short(symbols) : merge_long(symbols);
}

void Bpe::merge_short(std::vector<std::int32_t>& symbols) const {
  std::array<const RankTable::Entry*, short_word> merges;  // of symbol i with the one behind it
  size_t count = symbols.size();
  const auto look_up = [&](size_t i) { merges[i] = merges_.find(pair_key(symbols[i], symbols[i + 1])); };
  for (size_t i = 0; i + 1 < count; ++i) look_up(i);
  for (;;) {
    size_t best = count;
    for (size_t i = 0; i + 1 < count; ++i) {
      if (merges[i] && (best == count || merges[i]->rank < merges[best]->rank)) best = i;
    }
    if (best == count) break;
    symbols[best] = merges[best]->id;
    --count;
    for (size_t i = best + 1; i < count; ++i) {
      symbols[i] = symbols[i + 1];
      merges[i] = merges[i + 1];
    }
    if (best > 0) look_up(best - 1);
    if (best + 1 < count) look_up(best);
  }
  symbols.resize(count);
}

// The same with a heap and a doubly linked list: O(n log n).
void Bpe::merge_long(std::vector<std::int32_t>& symbols) const {
  struct Candidate {
    std::uint32_t rank;
    std::uint32_t at;  // the left symbol
    std::int32_t left, right;
    std::int32_t result;
    bool operator>(const Candidate& other) const { return rank != other.rank ? rank > other.rank : at > other.at; }
  };
  const auto none = static_cast<std::uint32_t>(symbols.size());
  std::vector<std::uint32_t> before(symbols.size());
  std::vector<std::uint32_t> behind(symbols.size());
  std::priority_queue<Candidate, std::vector<Candidate>, std::greater<>> queue;
  const auto push = [&](std::uint32_t left, std::uint32_t right) {
    const auto* merge = merges_.find(pair_key(symbols[left], symbols[right]));
    if (merge) queue.push({merge->rank, left, symbols[left], symbols[right], merge->id});
  };
  for (std::uint32_t i = 0; i < none; ++i) {
    before[i] = i == 0 ? none : i - 1;
    behind[i] = i + 1;
    if (i + 1 < none) push(i, i + 1);
  }
  while (!queue.empty()) {
    const Candidate top = queue.top();
    queue.pop();
    if (symbols[top.at] != top.left || behind[top.at] == none) continue;  // merged away meanwhile
    const std::uint32_t right = behind[top.at];
    if (symbols[right] != top.right) continue;
    symbols[top.at] = top.result;
    symbols[right] = -1;
    behind[top.at] = behind[right];
    if (behind[right] != none) {
      before[behind[right]] = top.at;
      push(top.at, behind[right]);
    }
    if (before[top.at] != none) push(before[top.at], top.at);
  }
  std::erase(symbols, -1);
}

}  // namespace steerlm
