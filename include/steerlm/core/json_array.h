// A file that is one JSON array of records.
#pragma once

#include <string>
#include <string_view>

#include "steerlm/core/json.h"

namespace steerlm {

// As parse_json_as_written; the text begins with a bracket. Each element may have 64 levels. A fault is said with the
// element, from 1, and with the line of the text.
Json parse_json_array(std::string_view text, const std::string& where, ExitCode code);

}  // namespace steerlm
