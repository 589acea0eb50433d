// Byte pair encoding (Sennrich et al. 2016) over a vocabulary and its ranked merges.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace steerlm {

// An open hash table from 64-bit keys, sized once.
struct RankTable {
  struct Entry {
    std::uint64_t key = UINT64_MAX;  // none has it: ids are below 2^31
    std::uint32_t rank = 0;
    std::int32_t id = 0;
  };
  std::vector<Entry> entries;  // a power of two, at most half of them taken
  unsigned shift = 0;

  void reserve(size_t count);
  void set(std::uint64_t key, std::uint32_t rank, std::int32_t id);
  const Entry* find(std::uint64_t key) const;
};

struct StringHash {
  using is_transparent = void;
  size_t operator()(std::string_view text) const { return std::hash<std::string_view>()(text); }
};
using StringIds = std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>>;

class Bpe {
 public:
  struct Merge {
    std::int32_t left, right, result;
  };
  struct Options {
    bool byte_level = false;     // the symbols that merges start from are bytes; else characters
    bool byte_fallback = false;  // a character without a piece becomes its bytes' pieces
    bool fuse_unknown = false;   // unknown characters in a row become one unk
    bool ignore_merges = false;  // a word that is a piece is that piece, whatever the merges say
    std::int32_t unknown = -1;   // -1: none, then what has no piece is dropped
  };

  // `pieces`: the texts (for byte_level, the bytes) that pieces stand for. `bytes[b]`: the piece of a byte, where
  // byte_level or byte_fallback needs it. `merges` in the order of their ranks; of equal pairs the last counts.
  Bpe(StringIds pieces, const std::array<std::int32_t, 256>& bytes, const std::vector<Merge>& merges, Options options);

  // Appends the ids of a word of valid UTF-8: of all pairs of neighbours the one of lowest rank is merged, the leftmost
  // of equals.
  void encode(std::string_view word, std::vector<std::int32_t>& ids) const;
  std::int32_t byte_piece(unsigned char byte) const { return bytes_[byte]; }  // -1: none

 private:
  void start(std::string_view word, std::vector<std::int32_t>& symbols) const;
  void merge(std::vector<std::int32_t>& symbols) const;
  void merge_short(std::vector<std::int32_t>& symbols) const;
  void merge_long(std::vector<std::int32_t>& symbols) const;

  Options options_;
  std::array<std::int32_t, 256> bytes_;
  RankTable merges_;      // key: left << 32 | right
  RankTable characters_;  // key: the character; without byte_level
  StringIds whole_;       // words whose encoding is the piece itself
};

}  // namespace steerlm
