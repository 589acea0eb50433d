// As jinja2 3.1 does in lexer.py.
#include "hf/jinja_lexer.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>

#include "hf/jinja.h"

namespace steerlm::jinja {
namespace {

constexpr std::string_view spaces = " \t\r\n\v\f";
constexpr size_t longest_block = 1000;  // tokens; bounds the depth of an expression
bool is_space(char c) { return spaces.find(c) != spaces.npos; }
bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

void append_utf8(std::uint32_t code, std::string& text) {
  if (code < 0x80) {
    text += static_cast<char>(code);
  } else if (code < 0x800) {
    text += static_cast<char>(0xC0 | (code >> 6));
    text += static_cast<char>(0x80 | (code & 0x3F));
  } else {
    text += static_cast<char>(0xE0 | (code >> 12));
    text += static_cast<char>(0x80 | ((code >> 6) & 0x3F));
    text += static_cast<char>(0x80 | (code & 0x3F));
  }
}

class Lexer {
 public:
  explicit Lexer(std::string_view source) : source_(source) {
    if (source_.ends_with('\n')) source_.remove_suffix(1);  // as without keep_trailing_newline
  }

  std::vector<Token> run() {
    while (at_ < source_.size()) {
      const size_t open = find_open();
      std::string text(source_.substr(at_, open - at_));
      at_ = open;
      if (at_ == source_.size()) {
        add_text(std::move(text));
        break;
      }
      const char kind = source_[at_ + 1];
      at_ += 2;
      const char sign = at_ < source_.size() ? source_[at_] : '\0';
      if (sign == '-') text.erase(text.find_last_not_of(spaces) + 1);
      if (sign != '-' && sign != '+' && kind != '{') strip_line(text, open);
      if (sign == '-' || sign == '+') ++at_;
      add_text(std::move(text));
      if (kind == '#')
        comment();
      else
        block(kind == '{' ? "{{" : "{%");
    }
    return std::move(tokens_);
  }

 private:
  size_t find_open() const {
    for (size_t i = at_; i + 1 < source_.size(); ++i) {
      const char next = source_[i + 1];
      if (source_[i] == '{' && (next == '{' || next == '%' || next == '#')) return i;
    }
    return source_.size();
  }
  void add_text(std::string text) {
    if (!text.empty()) tokens_.push_back({Token::Kind::text, std::move(text)});
  }
  // lstrip_blocks: spaces between the start of the line and a block.
  void strip_line(std::string& text, size_t open) const {
    size_t begin = text.size();
    while (begin > 0 && (text[begin - 1] == ' ' || text[begin - 1] == '\t')) --begin;
    const bool line_start =
        begin > 0 ? text[begin - 1] == '\n' : open == text.size() || source_[open - text.size() - 1] == '\n';
    if (line_start) text.erase(begin);
  }
  // What follows the end of a block or comment: trim_blocks takes a line end, "-" all spaces.
  void after_end(char sign, bool trims) {
    if (sign == '-') {
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
    } else if (trims && sign != '+' && at_ < source_.size() && source_[at_] == '\n') {
      ++at_;
    }
  }
  void comment() {
    const size_t end = source_.find("#}", at_);
    if (end == source_.npos) throw Unreadable("a comment without an end");
    const char sign = end > at_ ? source_[end - 1] : '\0';
    at_ = end + 2;
    after_end(sign, true);
  }
  void block(const std::string& begin) {
    const std::string end = begin == "{{" ? "}}" : "%}";
    tokens_.push_back({Token::Kind::begin, begin});
    int depth = 0;  // of brackets: "}}" inside a map ends no block
    const size_t first = tokens_.size();
    for (;;) {
      if (tokens_.size() - first > longest_block) throw Unreadable("a block of too many parts");
      while (at_ < source_.size() && is_space(source_[at_])) ++at_;
      if (at_ >= source_.size()) throw Unreadable("a block without an end");
      const std::string_view rest = source_.substr(at_);
      const char sign = rest[0];
      const bool signed_end = (sign == '-' || sign == '+') && rest.substr(1).starts_with(end);
      if (depth == 0 && (signed_end || rest.starts_with(end))) {
        at_ += end.size() + (signed_end ? 1 : 0);
        tokens_.push_back({Token::Kind::end, begin});
        return after_end(signed_end ? sign : '\0', end == "%}");
      }
      token(rest, depth);
    }
  }
  void token(std::string_view rest, int& depth) {
    const char c = rest[0];
    size_t length = 1;
    if (c == '\'' || c == '"') return text_literal(c);
    if (is_letter(c) || is_digit(c)) {
      while (length < rest.size() && (is_letter(rest[length]) || is_digit(rest[length]))) ++length;
      tokens_.push_back({is_digit(c) ? Token::Kind::number : Token::Kind::name, std::string(rest.substr(0, length))});
    } else {
      constexpr std::array<std::string_view, 5> pairs{"==", "!=", "<=", ">=", "//"};
      if (std::ranges::find(pairs, rest.substr(0, 2)) != pairs.end()) length = 2;
      if (std::string_view("+-*/%~=<>()[]{},.:|!").find(c) == std::string_view::npos)
        throw Unreadable(std::string("the character '") + c + "' in a block");
      depth += c == '(' || c == '[' || c == '{' ? 1 : c == ')' || c == ']' || c == '}' ? -1 : 0;
      tokens_.push_back({Token::Kind::sign, std::string(rest.substr(0, length))});
    }
    at_ += length;
  }
  void text_literal(char quote) {
    std::string text;
    for (++at_; at_ < source_.size() && source_[at_] != quote; ++at_) {
      if (source_[at_] != '\\' || at_ + 1 == source_.size()) {
        text += source_[at_];
        continue;
      }
      const char c = source_[++at_];
      constexpr std::string_view escapes = "ntr\\'\"abfv0", meant = std::string_view("\n\t\r\\'\"\a\b\f\v\0", 11);
      if (const size_t found = escapes.find(c); found != escapes.npos) {
        text += meant[found];
      } else if (c == 'x' || c == 'u') {
        append_utf8(hexadecimal(c == 'x' ? 2 : 4), text);
      } else {
        text += '\\';  // as Python: an unknown escape stays
        text += c;
      }
    }
    if (at_++ >= source_.size()) throw Unreadable("a text without an end");
    tokens_.push_back({Token::Kind::string, std::move(text)});
  }
  std::uint32_t hexadecimal(size_t digits) {
    const std::string_view text = source_.substr(at_ + 1, digits);
    std::uint32_t code = 0;
    if (text.size() != digits ||
        std::from_chars(text.data(), text.data() + digits, code, 16).ptr != text.data() + digits ||
        (code >= 0xD800 && code < 0xE000))
      throw Unreadable("an escape in a text");
    at_ += digits;
    return code;
  }

  std::string_view source_;
  size_t at_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

std::vector<Token> tokens_of(std::string_view source) { return Lexer(source).run(); }

}  // namespace steerlm::jinja
