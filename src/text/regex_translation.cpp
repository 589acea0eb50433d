#include <algorithm>
#include <array>
#include <cctype>
#include <cstdio>

#include "steerlm/core/error.h"
#include "text/regex.h"
#include "text/unicode_additions.h"

namespace steerlm {
namespace {

constexpr std::string_view white_space =
    "\\x{9}-\\x{d}\\x{20}\\x{85}\\x{a0}\\x{1680}\\x{2000}-\\x{200a}\\x{2028}\\x{2029}\\x{202f}"
    "\\x{205f}\\x{3000}";

// General categories: the same names in both, and with unicode_additions the same sets.
constexpr std::array categories{"L",  "Lu", "Ll", "Lt", "Lm", "Lo", "M",  "Mn", "Mc", "Me", "N",
                                "Nd", "Nl", "No", "P",  "Pc", "Pd", "Ps", "Pe", "Pi", "Pf", "Po",
                                "S",  "Sm", "Sc", "Sk", "So", "Z",  "Zs", "Zl", "Zp"};

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'); }

class Translation {
 public:
  Translation(std::string_view pattern, const std::string& where) : rest_(pattern), pattern_(pattern), where_(where) {}

  std::string run() {
    if (take("(?i)")) out_ += "(?i)";
    while (!rest_.empty()) {
      if (rest_[0] == '[') {
        set();
      } else if (rest_[0] == '(') {
        group();
      } else if (rest_[0] == '{') {
        interval();
      } else if (rest_[0] == '\\') {
        escape(false);
      } else if (rest_[0] == '^' || rest_[0] == '$') {
        refuse(rest_.substr(0, 1));
      } else {
        copy(1);
      }
    }
    return std::move(out_);
  }

 private:
  [[noreturn]] void refuse(std::string_view construct) const {
    fail(ExitCode::model,
         {.what = "the regular expression uses '" + std::string(construct) + "', which is not supported",
          .where = where_,
          .found = std::string(pattern_)});
  }
  bool take(std::string_view words) {
    if (!rest_.starts_with(words)) return false;
    rest_.remove_prefix(words.size());
    return true;
  }
  void copy(size_t count) {
    out_ += rest_.substr(0, count);
    rest_.remove_prefix(std::min(count, rest_.size()));
  }

  void group() {
    if (!rest_.starts_with("(?")) return copy(1);
    for (const std::string_view opening : {"(?:", "(?=", "(?!", "(?<=", "(?<!", "(?>", "(?i:", "(?-i:"}) {
      if (rest_.starts_with(opening)) return copy(opening.size());
    }
    refuse(rest_.substr(0, 4));
  }

  // {n}, {n,}, {n,m}, {,m}; any other brace is a character. A second quantifier behind it means another thing in each
  // library.
  void interval() {
    const auto digits = [&](size_t at) {
      size_t end = at;
      while (end < rest_.size() && is_digit(rest_[end])) ++end;
      return end;
    };
    const size_t low = digits(1);
    const bool comma = low < rest_.size() && rest_[low] == ',';
    const size_t high = comma ? digits(low + 1) : low;
    const bool bounded = high > (comma ? low + 1 : 1u);
    if (high >= rest_.size() || rest_[high] != '}' || (low == 1 && !bounded)) {
      out_ += '\\';
      return copy(1);
    }
    if (high + 1 < rest_.size() && (rest_[high + 1] == '+' || rest_[high + 1] == '?'))
      refuse(rest_.substr(0, high + 2));
    out_ += low == 1 ? "{0" : "{";
    rest_.remove_prefix(1);
    copy(high);
  }

  void escape(bool in_set) {
    const char c = rest_.size() > 1 ? rest_[1] : '\0';
    if (c == 's' || c == 'S') {
      if (in_set && c == 'S') refuse("\\S in a set");
      const std::string body(white_space);
      out_ += in_set ? body : (c == 's' ? "[" : "[^") + body + "]";
    } else if (c == 'd' || c == 'D') {
      category("Nd", c == 'D', in_set, 2);
      return;
    } else if (c == 'v') {
      out_ += "\\x{b}";
    } else if (c == 'p' || c == 'P') {
      return property(in_set);
    } else if (c == 'x' || c == 'u') {
      return number();
    } else if (c == 'r' || c == 'n' || c == 't' || c == 'f') {
      return copy(2);
    } else if (c != '\0' && !is_letter(c) && !is_digit(c) && static_cast<unsigned char>(c) < 0x80) {
      return copy(2);
    } else {
      refuse(rest_.substr(0, 2));
    }
    rest_.remove_prefix(2);
  }

  void property(bool in_set) {
    const size_t end = rest_.find('}');
    if (end == std::string_view::npos || rest_[2] != '{') refuse(rest_.substr(0, 3));
    std::string_view name = rest_.substr(3, end - 3);
    bool negative = rest_[1] == 'P';
    if (name.starts_with('^')) {
      negative = !negative;
      name.remove_prefix(1);
    }
    if (std::ranges::find(categories, name) == categories.end()) refuse(rest_.substr(0, end + 1));
    category(name, negative, in_set, end + 1);
  }

  // Written with `length` bytes of the expression.
  void category(std::string_view name, bool negative, bool in_set, size_t length) {
    if (negative && in_set) refuse(std::string(rest_.substr(0, length)) + " in a set");
    if (!in_set) out_ += negative ? "[^" : "[";
    out_ += "\\p{" + std::string(name) + "}";
    for (const UnicodeAddition& range : unicode_additions) {
      if (!std::string_view(range.category).starts_with(name)) continue;
      out_ += hex(range.first);
      if (range.last != range.first) out_ += "-" + hex(range.last);
    }
    if (!in_set) out_ += ']';
    rest_.remove_prefix(length);
  }

  static std::string hex(char32_t character) {
    std::array<char, 12> text{};
    std::snprintf(text.data(), text.size(), "\\x{%x}", static_cast<unsigned>(character));
    return text.data();
  }

  // \x{1F600}, \x7F, \u00A0. Oniguruma's \x80 and above are bytes.
  void number() {
    const bool braced = rest_.starts_with("\\x{");
    const size_t begin = braced ? 3 : 2;
    size_t end = begin;
    const size_t most = begin + (braced ? 6 : rest_[1] == 'u' ? 4 : 2);
    while (end < rest_.size() && end < most && std::isxdigit(static_cast<unsigned char>(rest_[end]))) ++end;
    const std::string digits(rest_.substr(begin, end - begin));
    const bool closed = !braced || (end < rest_.size() && rest_[end] == '}');
    if (digits.empty() || !closed || (!braced && end != most)) refuse(rest_.substr(0, end));
    const unsigned long value = std::stoul(digits, nullptr, 16);
    if (value > 0x10FFFF || (!braced && rest_[1] == 'x' && value >= 0x80)) refuse(rest_.substr(0, end));
    out_ += "\\x{" + digits + "}";
    rest_.remove_prefix(end + (braced ? 1 : 0));
  }

  void set() {
    copy(1);
    if (rest_.starts_with('^')) copy(1);
    if (rest_.starts_with(']')) refuse("[]");
    while (!rest_.starts_with(']')) {
      if (rest_.empty()) refuse("[");
      if (rest_[0] == '[') refuse("[ in a set");
      if (rest_.starts_with("&&")) refuse("&&");
      if (rest_[0] == '\\') {
        escape(true);
      } else {
        copy(1);
      }
    }
    copy(1);
  }

  std::string_view rest_;
  std::string_view pattern_;
  const std::string& where_;
  std::string out_;
};

}  // namespace

std::string translate_regex(std::string_view pattern, const std::string& where) {
  return Translation(pattern, where).run();
}

}  // namespace steerlm
