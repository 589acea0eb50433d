#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace steerlm {

// The byte offset of the first byte that is not well-formed UTF-8 (Unicode 15, table 3-7: no surrogates, no overlong
// forms), or nothing where all of `text` is.
std::optional<size_t> find_invalid_utf8(std::string_view text);

// The text with U+FFFD for every byte that is not part of well-formed UTF-8, so that it can be written down.
std::string as_utf8(std::string_view text);

}  // namespace steerlm
