// Lines of a text file, .gz (zlib) and .zst (libzstd) unpacked on the way, recognised by their first bytes as well as
// by their ending.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

namespace steerlm {

inline constexpr std::int64_t max_line_bytes = 16 << 20;

struct Line {
  std::string_view text;    // without line end; valid until the next call
  std::int64_t number = 0;  // from 1
  bool too_long = false;    // over max_line_bytes; text is its first 64 KiB
};

class LineReader {
 public:
  // "-": standard input. Throws data when the file is missing or no file.
  explicit LineReader(const std::string& path);
  LineReader(LineReader&&) noexcept;
  ~LineReader();

  // Only LF ends a line; one CR before it belongs to the line end. A byte-order mark at the start is skipped, a missing
  // last line end is accepted. Blank lines are returned. Throws data for a damaged or cut-off compressed file.
  std::optional<Line> next();
  // The first non-blank character of the file, 0 where there is none. Takes nothing away.
  char first_character();
  // What has been read of the file and not been returned yet: at first up to some 100 KiB.
  std::string_view head() const;
  // The program that unpacks the file, "gzip" or "zstd"; "" where it is not packed.
  const char* unpacker() const;
  // How much of the file the lines were that next() has returned, from 0 to 1; of a packed file about. Nothing for
  // standard input and pipes.
  std::optional<double> share_read() const;
  // What is left of the file. Throws data above `max_bytes`.
  std::string rest(std::int64_t max_bytes);

 private:
  struct State;
  std::unique_ptr<State> state_;
};

// Nothing but spaces, tabs and carriage returns.
bool is_blank(std::string_view line);

}  // namespace steerlm
