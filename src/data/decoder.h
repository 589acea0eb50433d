// Bytes of a file as they are, or unpacked from gzip or Zstandard.
#pragma once

#include <cstddef>
#include <memory>
#include <optional>
#include <string>

namespace steerlm {

class Decoder {
 public:
  // "-": standard input. Throws data when the file is missing, no file, or its bytes are not what its ending says.
  explicit Decoder(const std::string& path);
  ~Decoder();

  // Appends up to about 256 KiB to `out`; false at the end of the file, with nothing appended. Throws data for damaged
  // input.
  bool read(std::string& out);
  // How much of the file was read to give what read() has given, from 0 to 1; nothing for standard input and pipes.
  std::optional<double> share_read() const;
  // The program that unpacks the file, "gzip" or "zstd"; "" where it is not packed.
  const char* unpacker() const;

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace steerlm
