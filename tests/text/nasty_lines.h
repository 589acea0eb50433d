// The lines of tools/make_tokenizer_fixtures.py, `nasty_line`, drawn with the same generator.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "text/text_support.h"

namespace steerlm {

inline Path tokenizer_fixture(const std::string& name) {
  return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/tokenizers" / name;
}

inline Json read_tokenizer_fixture(const std::string& name) {
  const Path path = tokenizer_fixture(name);
  return parse_json(read_file(path, ExitCode::data, "fixture"), path.string(), ExitCode::data);
}

class NastyLines {
 public:
  std::string line(std::uint64_t index) const {
    Rng rng(5, "nasty line", index);
    std::string text;
    const std::uint64_t count = rng.below(12);
    for (std::uint64_t i = 0; i < count; ++i) {
      const std::uint64_t kind = rng.below(8);
      if (kind < 4) {
        text += part(rng);
      } else if (kind == 4) {
        append(character(rng), text);
      } else if (kind == 5) {
        text += std::string(1 + rng.below(std::uint64_t{1} << rng.below(6)), ' ');
      } else if (kind == 6) {
        const char32_t first = character(rng);
        const auto size = static_cast<char32_t>(1 + rng.below(5));
        for (char32_t c = first; c < first + size; ++c) {
          if (c < 0xD800 || c > 0xDFFF) append(std::min<char32_t>(c, 0x10FFFF), text);
        }
      } else {
        const std::string repeated = part(rng);
        const std::uint64_t times = rng.below(16) == 0 ? 1 + rng.below(std::uint64_t{1} << rng.below(9)) : 2;
        for (std::uint64_t n = 0; n < times; ++n) text += repeated;
      }
    }
    std::erase(text, '\n');
    return text;
  }

 private:
  std::string part(Rng& rng) const { return parts_[rng.below(parts_.size())]; }
  static char32_t character(Rng& rng) {
    constexpr std::array<std::uint64_t, 7> limits{0x80, 0x250, 0x3000, 0x10000, 0x20000, 0x30000, 0x110000};
    for (;;) {
      const std::uint64_t value = rng.below(limits[rng.below(limits.size())]);
      if (value != 0 && value != 10 && (value < 0xD800 || value > 0xDFFF)) return static_cast<char32_t>(value);
    }
  }
  static void append(char32_t c, std::string& text) {
    const auto tail = [&](int shift) { text += static_cast<char>(0x80 | (c >> shift & 0x3F)); };
    if (c < 0x80) {
      text += static_cast<char>(c);
    } else if (c < 0x800) {
      text += static_cast<char>(0xC0 | c >> 6);
    } else if (c < 0x10000) {
      text += static_cast<char>(0xE0 | c >> 12);
      tail(6);
    } else {
      text += static_cast<char>(0xF0 | c >> 18);
      tail(12);
      tail(6);
    }
    if (c >= 0x80) tail(0);
  }

  std::vector<std::string> parts_ = read_tokenizer_fixture("parts.json").get<std::vector<std::string>>();
};

}  // namespace steerlm
