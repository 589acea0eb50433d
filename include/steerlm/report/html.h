// HTML that is XML as well: elements are closed in order, and every text and attribute is escaped on its way in. There
// is no way to write markup that somebody else has made.
#pragma once

#include <initializer_list>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steerlm {

// What can be shown of any bytes, so that it neither ends the page nor rearranges it: UTF-8 with U+FFFD for each byte
// that is none and each code point that XML does not allow, control characters as their pictures (U+2400 …) but for
// tab and line feed, and the marks that embed, override or isolate a direction (U+202A … U+202E, U+2066 … U+2069) as
// "[U+202E]". Nothing is escaped.
std::string visible_text(std::string_view bytes);

// The first `most` code points of UTF-8; of a text that has no more, all.
std::string_view first_code_points(std::string_view text, size_t most);
size_t count_code_points(std::string_view text);  // of UTF-8

class HtmlWriter {
 public:
  using Attributes = std::initializer_list<std::pair<std::string_view, std::string_view>>;

  HtmlWriter();  // begins with the doctype

  void open(std::string_view tag, Attributes attributes = {});
  // Throws std::logic_error unless `tag` is what was opened last and is still open.
  void close(std::string_view tag);
  // An element of HTML that has no content and no end (meta, br), or an empty one of SVG.
  void empty(std::string_view tag, Attributes attributes = {});
  void text(std::string_view bytes);
  void element(std::string_view tag, std::string_view bytes, Attributes attributes = {});

  // The page. Throws std::logic_error while something is open.
  std::string take();

 private:
  void begin(std::string_view tag, Attributes attributes);

  std::string page_;
  std::vector<std::string> open_;
};

}  // namespace steerlm
