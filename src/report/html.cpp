#include "steerlm/report/html.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

constexpr std::string_view replacement = "\xEF\xBF\xBD";  // U+FFFD

bool is_continuation(char byte) { return (static_cast<unsigned char>(byte) & 0xC0) == 0x80; }

size_t sequence_length(char lead) {
  const auto byte = static_cast<unsigned char>(lead);
  return byte >= 0xF0 ? 4 : byte >= 0xE0 ? 3 : byte >= 0x80 ? 2 : 1;
}

// Of a well-formed sequence.
char32_t decode(std::string_view sequence) {
  const auto lead = static_cast<unsigned char>(sequence[0]);
  if (sequence.size() == 1) return lead;
  char32_t point = lead & (0xFFu >> (sequence.size() + 1));
  for (char byte : sequence.substr(1)) point = point << 6 | (static_cast<unsigned char>(byte) & 0x3Fu);
  return point;
}

void append_visible(std::string& text, std::string_view sequence) {
  const char32_t point = decode(sequence);
  if (point == '\t' || point == '\n') {
    text += sequence;
  } else if (point < 0x20 || point == 0x7F) {
    const char picture = static_cast<char>(0x80 + (point == 0x7F ? 0x21 : point));  // U+2400 + point, U+2421
    text += {'\xE2', '\x90', picture};
  } else if ((point >= 0x80 && point < 0xA0) || (point & 0xFFFE) == 0xFFFE || (point >= 0xFDD0 && point <= 0xFDEF)) {
    text += replacement;
  } else if ((point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069)) {
    text += fmt::format("[U+{:04X}]", static_cast<unsigned>(point));
  } else {
    text += sequence;
  }
}

void append_escaped(std::string& page, std::string_view bytes) {
  for (char c : visible_text(bytes)) {
    switch (c) {
      case '&':
        page += "&amp;";
        break;
      case '<':
        page += "&lt;";
        break;
      case '>':
        page += "&gt;";
        break;
      case '"':
        page += "&quot;";
        break;
      case '\'':
        page += "&#39;";
        break;
      default:
        page += c;
    }
  }
}

}  // namespace

std::string visible_text(std::string_view bytes) {
  std::string text;
  while (!bytes.empty()) {
    const auto invalid = find_invalid_utf8(bytes);
    std::string_view good = bytes.substr(0, invalid.value_or(bytes.size()));
    bytes.remove_prefix(good.size());
    while (!good.empty()) {
      const size_t length = sequence_length(good[0]);
      append_visible(text, good.substr(0, length));
      good.remove_prefix(length);
    }
    if (bytes.empty()) break;
    text += replacement;
    bytes.remove_prefix(1);
  }
  return text;
}

std::string_view first_code_points(std::string_view text, size_t most) {
  size_t place = 0;
  for (; place < text.size(); ++place) {
    if (!is_continuation(text[place]) && most-- == 0) break;
  }
  return text.substr(0, place);
}

size_t count_code_points(std::string_view text) {
  return static_cast<size_t>(std::ranges::count_if(text, [](char byte) { return !is_continuation(byte); }));
}

HtmlWriter::HtmlWriter() : page_("<!DOCTYPE html>\n") {}

void HtmlWriter::begin(std::string_view tag, Attributes attributes) {
  (page_ += '<') += tag;
  for (const auto& [name, value] : attributes) {
    ((page_ += ' ') += name) += "=\"";
    append_escaped(page_, value);
    page_ += '"';
  }
}

void HtmlWriter::open(std::string_view tag, Attributes attributes) {
  begin(tag, attributes);
  page_ += '>';
  open_.emplace_back(tag);
}

void HtmlWriter::close(std::string_view tag) {
  if (open_.empty() || open_.back() != tag)
    throw std::logic_error(
        fmt::format("close of '{}' where '{}' is open", tag, open_.empty() ? "nothing" : open_.back()));
  open_.pop_back();
  ((page_ += "</") += tag) += '>';
  // A line end where it is not shown, so that the file can be read and compared.
  for (std::string_view block :
       {"p", "tr", "table", "section", "figure", "svg", "div", "h1", "h2", "h3", "li", "pre"}) {
    if (tag == block) page_ += '\n';
  }
}

void HtmlWriter::empty(std::string_view tag, Attributes attributes) {
  begin(tag, attributes);
  page_ += "/>";
}

void HtmlWriter::text(std::string_view bytes) { append_escaped(page_, bytes); }

void HtmlWriter::element(std::string_view tag, std::string_view bytes, Attributes attributes) {
  open(tag, attributes);
  text(bytes);
  close(tag);
}

std::string HtmlWriter::take() {
  if (!open_.empty()) throw std::logic_error("the page ends while '" + open_.back() + "' is open");
  return std::move(page_) + '\n';
}

}  // namespace steerlm
