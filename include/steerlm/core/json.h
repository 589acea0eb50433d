// JSON as it comes from users: strict on reading, byte-stable on writing.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "steerlm/core/error.h"

namespace steerlm {

using Json = nlohmann::ordered_json;  // keeps the order of keys

// One JSON value and nothing after it. Refused with a Fault at `where`: invalid UTF-8, a raw NUL, NaN and numbers out
// of range, duplicate keys, lone surrogates, deeper than `max_depth`. `code` is the exit code of the file's kind.
// `keep` is nlohmann's parser callback: what it refuses is not built. An object of ordered_json takes time quadratic in
// its keys, so large ones go through it.
Json parse_json(std::string_view text, const std::string& where, ExitCode code, int max_depth = 64,
                const Json::parser_callback_t& keep = nullptr);

// One line, UTF-8 as it is, numbers shortest round-trip.
std::string dump_json(const Json& value);

}  // namespace steerlm
