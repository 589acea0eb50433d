// SHA-256 (FIPS 180-4, through OpenSSL) for manifests and inputs, and the first 8 bytes of it where a number is wanted.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "steerlm/core/fs.h"

namespace steerlm {

class Sha256 {
 public:
  Sha256();
  ~Sha256();
  Sha256(const Sha256&) = delete;
  Sha256& operator=(const Sha256&) = delete;
  void update(std::string_view bytes);
  std::string hex();  // ends the computation

 private:
  void* context_;
};

std::string sha256_hex(std::string_view bytes);
// Reads the file in pieces. A missing file ends with `missing`.
std::string sha256_file(const Path& path, ExitCode missing);
// The first 8 bytes of the SHA-256, big-endian.
std::uint64_t hash64(std::string_view bytes);

}  // namespace steerlm
