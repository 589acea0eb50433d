// Plain-text tables and the spelling of numbers in them.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace steerlm {

// Columns that a terminal needs: 0 for combining marks, 2 for wide East Asian characters and emoji, else 1. Bytes that
// are not UTF-8 count 1 each.
size_t display_width(std::string_view text);

// Rows of cells under a header row, two spaces between columns, a line of dashes below the header. A column whose cells
// (all but the header's) are numbers or empty is set right, the others left. Short rows are filled up. No spaces at
// line ends.
std::string format_table(const std::vector<std::vector<std::string>>& rows);

// "12", "-3.50", "1,234", "96 %", "0.5 ± 0.1", "–", "": what the functions below print, set right in a column of a
// table.
bool is_numeric_cell(std::string_view cell);

std::string format_number(double value, int decimals);  // "3.14"; a dash for NaN, never "-0.00"
std::string format_count(std::int64_t value);           // "1,234,567"
std::string format_bytes(std::int64_t bytes);           // "512 B", "1.5 KB", "2.3 GB", powers of 1000
std::string format_duration(double seconds);            // "9 s", "3 min 20 s", "2 h 05 min", "3 d 04 h"

}  // namespace steerlm
