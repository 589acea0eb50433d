// Damage to the bytes of a file: a reader takes them, or refuses them with our own error.
#pragma once

#include <gtest/gtest.h>

#include <fstream>
#include <functional>
#include <string>

#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/rng.h"
#include "support/damage_bytes.h"

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

  // One to three edits of damage_bytes.
  DamageCounts edit_at_random(std::uint64_t seed, std::uint64_t rounds) const {
    DamageCounts counts;
    for (std::uint64_t round = 0; round < rounds; ++round) {
      Rng rng(seed, "file damage", round);
      std::string bytes = whole_;
      for (std::uint64_t edits = 1 + rng.below(3); edits > 0; --edits) damage_bytes(bytes, rng);
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
