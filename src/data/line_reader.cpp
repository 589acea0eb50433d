#include "steerlm/data/line_reader.h"

#include "data/decoder.h"
#include "steerlm/core/error.h"

namespace steerlm {
namespace {

constexpr std::string_view byte_order_mark = "\xEF\xBB\xBF";
constexpr size_t kept_of_long_line = 64 << 10;

}  // namespace

struct LineReader::State {
  explicit State(const std::string& file) : path(file), decoder(file) {
    while (buffer.size() < byte_order_mark.size() && !ended) more();
    if (buffer.starts_with(byte_order_mark)) start = byte_order_mark.size();
  }

  void more() {
    if (start > 0) {
      buffer.erase(0, start);
      start = 0;
    }
    const size_t before = buffer.size();
    ended = !decoder.read(buffer);
    unpacked += static_cast<std::int64_t>(buffer.size() - before);
  }

  std::string path;
  Decoder decoder;
  std::string buffer;
  size_t start = 0;  // what is before it has been returned
  bool ended = false;
  std::int64_t number = 0;
  std::int64_t unpacked = 0;  // bytes that the decoder has given
};

LineReader::LineReader(const std::string& path) : state_(std::make_unique<State>(path)) {}
LineReader::LineReader(LineReader&&) noexcept = default;
LineReader::~LineReader() = default;

std::optional<Line> LineReader::next() {
  State& s = *state_;
  Line line;
  line.number = ++s.number;
  size_t searched = 0;  // of the unreturned bytes, known to hold no LF
  for (;;) {
    const size_t end = s.buffer.find('\n', s.start + searched);
    const bool found = end != std::string::npos;
    const size_t size = (found ? end : s.buffer.size()) - s.start;
    if (line.too_long) {
      // The rest of a line that is over the limit: all but its beginning is thrown away.
      s.buffer.erase(s.start + kept_of_long_line, size - kept_of_long_line);
    } else if (size > static_cast<size_t>(max_line_bytes) + 1) {  // + 1: the CR of a line end
      line.too_long = true;
      continue;
    }
    if (found || s.ended) {
      if (!found && size == 0) return std::nullopt;
      const size_t length = line.too_long ? kept_of_long_line : size;
      line.text = std::string_view(s.buffer).substr(s.start, length);
      s.start += length + (found ? 1 : 0);
      if (!line.too_long && line.text.ends_with('\r') && found) line.text.remove_suffix(1);
      if (line.text.size() > static_cast<size_t>(max_line_bytes)) {
        line.too_long = true;
        line.text = line.text.substr(0, kept_of_long_line);
      }
      return line;
    }
    searched = line.too_long ? kept_of_long_line : size;
    s.more();
  }
}

char LineReader::first_character() {
  State& s = *state_;
  for (size_t at = s.start;;) {
    const size_t found = s.buffer.find_first_not_of(" \t\r\n", at);
    if (found != std::string::npos) return s.buffer[found];
    if (s.ended) return 0;
    const size_t taken = s.start;
    at = s.buffer.size() - taken;
    s.more();
  }
}

std::string_view LineReader::head() const { return std::string_view(state_->buffer).substr(state_->start); }

std::optional<double> LineReader::share_read() const {
  const std::optional<double> share = state_->decoder.share_read();
  if (!share || state_->unpacked == 0) return share;
  // Of what was unpacked, the buffer's rest has not been returned.
  const std::int64_t waiting = static_cast<std::int64_t>(state_->buffer.size() - state_->start);
  return *share * static_cast<double>(state_->unpacked - waiting) / static_cast<double>(state_->unpacked);
}

const char* LineReader::unpacker() const { return state_->decoder.unpacker(); }

std::string LineReader::rest(std::int64_t max_bytes) {
  State& s = *state_;
  while (!s.ended) {
    s.more();
    if (s.buffer.size() > static_cast<size_t>(max_bytes)) {
      fail(ExitCode::data, {.what = "a JSON array of more than " + std::to_string(max_bytes >> 20) + " MiB",
                            .where = s.path == "-" ? "standard input" : s.path,
                            .advice = "write its elements one a line: jq -c '.[]' FILE > NEW.jsonl"});
    }
  }
  std::string bytes = s.buffer.substr(s.start);
  s.buffer.clear();
  s.start = 0;
  return bytes;
}

bool is_blank(std::string_view line) { return line.find_first_not_of(" \t\r") == std::string_view::npos; }

}  // namespace steerlm
