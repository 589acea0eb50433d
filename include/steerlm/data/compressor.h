// Bytes packed as the ending of a file's name says.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>

namespace steerlm {

// Whether the name ends in .gz or .zst.
bool is_packed_name(const std::string& name);
// Throws recipe for such a name of an output that is not packed; `option`: of the command line or the recipe, which
// named it. What holds lines of JSON is packed, nothing else is.
void refuse_packed_name(const std::string& name, const std::string& option);

// gzip (RFC 1952, level 6, without a time) for .gz, Zstandard (level 3, with a checksum) for .zst, the bytes as they
// are for any other name. The same bytes in the same pieces or others give the same packed bytes.
class Compressor {
 public:
  Compressor(const std::string& name, std::function<void(std::string_view)> sink);
  ~Compressor();

  void write(std::string_view bytes);
  void finish();

 private:
  struct State;
  std::unique_ptr<State> state_;
};

}  // namespace steerlm
