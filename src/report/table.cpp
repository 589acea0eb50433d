#include "steerlm/report/table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

namespace steerlm {
namespace {

struct Block {
  char32_t first, last;
};
constexpr std::array<Block, 7> combining{{{0x0300, 0x036F},
                                          {0x0483, 0x0489},
                                          {0x0591, 0x05BD},
                                          {0x1AB0, 0x1AFF},
                                          {0x200B, 0x200F},
                                          {0x20D0, 0x20FF},
                                          {0xFE00, 0xFE0F}}};
// East Asian width W and F (Unicode Standard Annex 11), in large blocks.
constexpr std::array<Block, 9> wide{{{0x1100, 0x115F},
                                     {0x2E80, 0x303E},
                                     {0x3041, 0xA4CF},
                                     {0xAC00, 0xD7A3},
                                     {0xF900, 0xFAFF},
                                     {0xFE30, 0xFE6F},
                                     {0xFF00, 0xFF60},
                                     {0x1F300, 0x1FAFF},
                                     {0x20000, 0x3FFFD}}};

template <size_t N>
bool in(const std::array<Block, N>& blocks, char32_t point) {
  return std::any_of(blocks.begin(), blocks.end(),
                     [&](Block block) { return point >= block.first && point <= block.last; });
}

// The code point at `place`, which moves past it; a byte that starts none is taken as it is.
char32_t next_point(std::string_view text, size_t& place) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(place);
  const size_t length = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 1;
  char32_t point = length == 1 ? lead : lead & (0xFFu >> (length + 1));
  for (size_t i = 1; i < length; ++i) {
    if (place + i >= text.size() || (byte(place + i) & 0xC0) != 0x80) {
      ++place;
      return lead;
    }
    point = point << 6 | (byte(place + i) & 0x3Fu);
  }
  place += length;
  return point;
}

}  // namespace

bool is_numeric_cell(std::string_view cell) {
  return cell == "–" || cell.find_first_not_of("0123456789+-.,e%± ") == std::string_view::npos;
}

size_t display_width(std::string_view text) {
  size_t width = 0;
  for (size_t place = 0; place < text.size();) {
    const char32_t point = next_point(text, place);
    width += in(combining, point) ? 0 : in(wide, point) ? 2 : 1;
  }
  return width;
}

std::string format_table(const std::vector<std::vector<std::string>>& rows) {
  size_t columns = 0;
  for (const auto& row : rows) columns = std::max(columns, row.size());
  std::vector<size_t> widths(columns);
  std::vector<bool> right(columns, rows.size() > 1);
  for (size_t r = 0; r < rows.size(); ++r) {
    for (size_t c = 0; c < rows[r].size(); ++c) {
      widths[c] = std::max(widths[c], display_width(rows[r][c]));
      if (r > 0 && !is_numeric_cell(rows[r][c])) right[c] = false;
    }
  }
  std::string table;
  const auto add_line = [&](std::string line) {
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + '\n';
  };
  for (size_t r = 0; r < rows.size(); ++r) {
    std::string line, dashes;
    for (size_t c = 0; c < columns; ++c) {
      const std::string cell = c < rows[r].size() ? rows[r][c] : "";
      const std::string padding(widths[c] - display_width(cell), ' ');
      line += (c > 0 ? "  " : "") + (right[c] ? padding + cell : cell + padding);
      dashes += (c > 0 ? "  " : "") + std::string(widths[c], '-');
    }
    add_line(std::move(line));
    if (r == 0) add_line(std::move(dashes));
  }
  return table;
}

std::string format_number(double value, int decimals) {
  if (std::isnan(value)) return "–";
  std::string text = fmt::format("{:.{}f}", value, decimals);
  const bool is_zero = text.find_first_not_of("-0.") == std::string::npos;
  return is_zero && text[0] == '-' ? text.substr(1) : text;
}

std::string format_count(std::int64_t value) {
  std::string text = std::to_string(value);
  const int first = value < 0 ? 1 : 0;
  for (int place = static_cast<int>(text.size()) - 3; place > first; place -= 3)
    text.insert(static_cast<size_t>(place), ",");
  return text;
}

std::string format_bytes(std::int64_t bytes) {
  constexpr std::array<const char*, 5> units{"B", "KB", "MB", "GB", "TB"};
  double value = static_cast<double>(bytes);
  size_t unit = 0;
  for (; std::abs(value) >= 999.95 && unit + 1 < units.size(); ++unit) value /= 1000;
  return unit == 0 ? fmt::format("{} B", bytes) : fmt::format("{:.1f} {}", value, units[unit]);
}

std::string format_duration(double seconds) {
  if (!std::isfinite(seconds)) return "–";
  const auto whole = static_cast<std::int64_t>(std::llround(std::max(seconds, 0.0)));
  if (whole < 60) return fmt::format("{} s", whole);
  if (whole < 3600) return fmt::format("{} min {:02} s", whole / 60, whole % 60);
  if (whole < 86400) return fmt::format("{} h {:02} min", whole / 3600, whole / 60 % 60);
  return fmt::format("{} d {:02} h", whole / 86400, whole / 3600 % 24);
}

}  // namespace steerlm
