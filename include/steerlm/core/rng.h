// Counter-based random numbers: Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"). A
// draw is a pure function of (seed, purpose, index, position): nothing depends on batching, threads or restarts, and
// there is no generator state to save.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <string_view>

namespace steerlm {

// One block of the cipher: 128 random bits for a 128-bit counter and a 64-bit key.
constexpr std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> counter, std::array<std::uint32_t, 2> key) {
  for (int round = 0; round < 10; ++round) {
    const std::uint64_t product0 = std::uint64_t{0xD2511F53u} * counter[0];
    const std::uint64_t product1 = std::uint64_t{0xCD9E8D57u} * counter[2];
    counter = {static_cast<std::uint32_t>(product1 >> 32) ^ counter[1] ^ key[0], static_cast<std::uint32_t>(product1),
               static_cast<std::uint32_t>(product0 >> 32) ^ counter[3] ^ key[1], static_cast<std::uint32_t>(product0)};
    key[0] += 0x9E3779B9u;
    key[1] += 0xBB67AE85u;
  }
  return counter;
}

// FNV-1a, 64 bits; turns a purpose ("init model.norm.weight") into a part of the key.
constexpr std::uint64_t fnv1a(std::string_view text) {
  std::uint64_t hash = 0xcbf29ce484222325ull;
  for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ull;
  return hash;
}

// The stream of (seed, purpose, index), read from the front.
class Rng {
 public:
  constexpr Rng(std::uint64_t seed, std::string_view purpose, std::uint64_t index) : index_(index) {
    const std::uint64_t key = seed * 0x9E3779B97F4A7C15ull ^ fnv1a(purpose);
    key_ = {static_cast<std::uint32_t>(key), static_cast<std::uint32_t>(key >> 32)};
  }

  constexpr std::uint32_t bits() {
    if (position_ % 4 == 0) {
      const std::uint64_t block = position_ / 4;
      block_ = philox({static_cast<std::uint32_t>(block), static_cast<std::uint32_t>(block >> 32),
                       static_cast<std::uint32_t>(index_), static_cast<std::uint32_t>(index_ >> 32)},
                      key_);
    }
    return block_[position_++ % 4];
  }
  // In [0, 1), 53 bits.
  constexpr double uniform() {
    const std::uint64_t high = bits();
    return static_cast<double>((high << 32 | bits()) >> 11) * 0x1.0p-53;
  }
  // In [0, count), without bias (Lemire 2019).
  constexpr std::uint64_t below(std::uint64_t count) {
    __extension__ typedef unsigned __int128 Wide;
    if (count <= 1) return 0;
    for (;;) {
      const std::uint64_t high = bits();
      const Wide product = static_cast<Wide>(high << 32 | bits()) * count;
      if (static_cast<std::uint64_t>(product) >= (-count) % count) return static_cast<std::uint64_t>(product >> 64);
    }
  }
  // Standard normal (Box-Muller; one draw of the pair is used, so that a position means the same always).
  double normal() {
    const double radius = std::sqrt(-2.0 * std::log(1.0 - uniform()));
    return radius * std::cos(6.283185307179586 * uniform());
  }

 private:
  std::uint64_t index_;
  std::array<std::uint32_t, 2> key_{};
  std::uint64_t position_ = 0;
  std::array<std::uint32_t, 4> block_{};
};

}  // namespace steerlm
