// JSON as it comes from users: strict on reading, byte-stable on writing.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "steerlm/core/error.h"

namespace steerlm {

using Json = nlohmann::ordered_json;  // keeps the order of keys

// One JSON value and nothing after it. Refused with a Fault at `where`: invalid UTF-8, a raw NUL, NaN and numbers out
// of range, duplicate keys, lone surrogates, deeper than `max_depth`. `code` is the exit code of the file's kind.
// `keep` is called as nlohmann's parser callback: what it refuses is not built. Looking a key up in an object of
// ordered_json takes time linear in its keys, so large ones are taken apart while they are read.
Json parse_json(std::string_view text, const std::string& where, ExitCode code, int max_depth = 64,
                const Json::parser_callback_t& keep = nullptr);

// The same for values that are written again. A number that dump_json would spell otherwise than it was written
// (1.50, 1e5, -0, 1e400, an integer of more than 64 bits) is kept as its text, in a value of its own kind:
// is_number() is false for it, and written_number() gives the text.
Json parse_json_as_written(std::string_view text, const std::string& where, ExitCode code, int max_depth = 64);
std::optional<std::string> written_number(const Json& value);

// One line, UTF-8 as it is, numbers as they were written, else the shortest that reads back as the same.
std::string dump_json(const Json& value);

}  // namespace steerlm
