#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace steerlm {

// The byte offset of the first byte that is not well-formed UTF-8 (Unicode 15, table 3-7: no surrogates, no overlong
// forms), or nothing where all of `text` is.
std::optional<size_t> find_invalid_utf8(std::string_view text);

}  // namespace steerlm
