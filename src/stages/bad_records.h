// Records of an input that cannot be used: put aside one by one, or the end of the run.
#pragma once

#include <cstdint>
#include <string>

#include "steerlm/recipe/recipe.h"

namespace steerlm {

// A line of OUTPUT.quarantine.jsonl: {"file", "line", "reason", "record": the text of the line}.
std::string quarantine_line(const std::string& file, std::int64_t line, const std::string& reason,
                            const std::string& text);

// Throws data.
[[noreturn]] void refuse_bad_record(const std::string& file, std::int64_t line, const std::string& reason);

// Throws data where more than `max_bad_share` of all records are bad; `where` lists them.
void check_bad_share(std::int64_t bad, std::int64_t all, double max_bad_share, const std::string& where,
                     const std::string& advice);

}  // namespace steerlm
