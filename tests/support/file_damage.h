// Damage to the bytes of a file: a reader takes them, or refuses them with our own error.
#pragma once

#include <gtest/gtest.h>

#include <cstring>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>

#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/rng.h"

namespace steerlm {

struct DamageCounts {
  std::uint64_t read = 0, refused = 0;
};

class FileDamage {
 public:
  // `read` reads everything in the file at `path`, or throws model and names the file.
  FileDamage(std::string whole, Path path, std::function<void()> read)
      : whole_(std::move(whole)), path_(std::move(path)), read_(std::move(read)) {}

  // Every bit of the first `header` bytes, one at a time.
  DamageCounts flip_bits(size_t header) const {
    DamageCounts counts;
    for (size_t at = 0; at < header; ++at) {
      for (int bit = 0; bit < 8; ++bit) {
        std::string bytes = whole_;
        bytes[at] = static_cast<char>(bytes[at] ^ (1 << bit));
        try_bytes(bytes, counts);
      }
    }
    return counts;
  }

  // One to three cuts, insertions, deletions and overwrites at random places, among them numbers that sizes are made
  // of, where they hurt.
  DamageCounts edit_at_random(std::uint64_t seed, std::uint64_t rounds) const {
    constexpr std::uint64_t numbers[] = {
        0, 1, 0x7FFFFFFF, 0xFFFFFFFF, 0x100000000, 0x7FFFFFFFFFFFFFFF, 0xFFFFFFFFFFFFFFFF, 0x2000000000000000};
    DamageCounts counts;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      Rng rng(seed, "file damage", round);
      std::string bytes = whole_;
      for (std::uint64_t edits = 1 + rng.below(3); edits > 0 && !bytes.empty(); --edits) {
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
      try_bytes(bytes, counts);
    }
    return counts;
  }

 private:
  void try_bytes(const std::string& bytes, DamageCounts& counts) const {
    std::filesystem::remove(path_);  // some file systems write a truncated file to the disk at once
    std::ofstream(path_, std::ios::binary) << bytes;
    try {
      read_();
      ++counts.read;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::model) << error.what();
      EXPECT_NE(std::string(error.what()).find(path_.string()), std::string::npos) << error.what();
      ++counts.refused;
    }
  }

  std::string whole_;
  Path path_;
  std::function<void()> read_;
};

}  // namespace steerlm
