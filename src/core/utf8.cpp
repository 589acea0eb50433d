#include "steerlm/core/utf8.h"

namespace steerlm {

std::optional<size_t> find_invalid_utf8(std::string_view text) {
  size_t i = 0;
  const auto byte = [&](size_t at) { return at < text.size() ? static_cast<unsigned char>(text[at]) : 0u; };
  const auto continuation = [&](size_t at) { return (byte(at) & 0xC0u) == 0x80u; };
  while (i < text.size()) {
    const unsigned lead = byte(i);
    size_t length = 1;
    bool valid = true;
    if (lead < 0x80) {
      length = 1;
    } else if (lead >= 0xC2 && lead <= 0xDF) {
      length = 2;
    } else if (lead >= 0xE0 && lead <= 0xEF) {
      length = 3;
      if (lead == 0xE0) valid = byte(i + 1) >= 0xA0;  // overlong
      if (lead == 0xED) valid = byte(i + 1) <= 0x9F;  // surrogates
    } else if (lead >= 0xF0 && lead <= 0xF4) {
      length = 4;
      if (lead == 0xF0) valid = byte(i + 1) >= 0x90;  // overlong
      if (lead == 0xF4) valid = byte(i + 1) <= 0x8F;  // above U+10FFFF
    } else {
      return i;
    }
    for (size_t k = 1; k < length; ++k) valid = valid && continuation(i + k);
    if (!valid) return i;
    i += length;
  }
  return std::nullopt;
}

std::string as_utf8(std::string_view text) {
  std::string valid;
  for (std::string_view rest = text;;) {
    const std::optional<size_t> bad = find_invalid_utf8(rest);
    valid += rest.substr(0, bad.value_or(rest.size()));
    if (!bad) return valid;
    valid += "\uFFFD";
    rest.remove_prefix(*bad + 1);
  }
}

}  // namespace steerlm
