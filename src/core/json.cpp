#include "steerlm/core/json.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <unordered_set>
#include <utility>

#include "steerlm/core/json_array.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

constexpr size_t small_object = 16;  // keys that are compared one by one

bool is_digit(char c) { return c >= '0' && c <= '9'; }

// RFC 8259, over text that is known to be UTF-8.
class Parser {
 public:
  Parser(std::string_view text, const std::string& where, ExitCode code, int max_depth, bool as_written,
         const Json::parser_callback_t& keep)
      : text_(text), where_(where), code_(code), max_depth_(max_depth), as_written_(as_written), keep_(keep) {}

  Json parse() {
    check_text();
    if (text_.starts_with("\xEF\xBB\xBF")) at_ = 3;
    return parse_whole(0);
  }

  // The array itself is none of the levels of its elements.
  Json parse_records() {
    of_records_ = true;
    check_text();
    return parse_whole(-1);
  }

 private:
  void check_text() const {
    if (const auto invalid = find_invalid_utf8(text_))
      refuse(*invalid, "not valid UTF-8 at byte " + std::to_string(*invalid + 1));
    if (const size_t nul = text_.find('\0'); nul != std::string_view::npos)
      refuse(nul, "a raw NUL byte at byte " + std::to_string(nul + 1));
  }
  Json parse_whole(int depth) {
    Json value = parse_value(depth);
    skip_space();
    if (at_ < text_.size()) unexpected("nothing behind the value");
    return value;
  }

  [[noreturn]] void refuse(size_t at, const std::string& what) const {
    std::string where = where_;
    if (element_ > 0) where += ", element " + std::to_string(element_);
    if (of_records_) where += ", line " + std::to_string(std::ranges::count(text_.substr(0, at), '\n') + 1);
    fail(code_, {.what = what, .where = where});
  }
  [[noreturn]] void bad(size_t at, const std::string& why) const {
    refuse(at, "not valid JSON at byte " + std::to_string(at + 1) + ": " + why);
  }
  [[noreturn]] void unexpected(const std::string& expected) const {
    if (at_ >= text_.size()) bad(at_, "the text ends where " + expected + " is expected");
    size_t size = 1;  // of the character
    while (at_ + size < text_.size() && (text_[at_ + size] & 0xC0) == 0x80) ++size;
    bad(at_, "unexpected '" + std::string(text_.substr(at_, size)) + "', expected " + expected);
  }

  void skip_space() {
    while (at_ < text_.size() &&
           (text_[at_] == ' ' || text_[at_] == '\t' || text_[at_] == '\n' || text_[at_] == '\r')) {
      ++at_;
    }
  }
  bool take(char wanted) {
    skip_space();
    if (at_ >= text_.size() || text_[at_] != wanted) return false;
    ++at_;
    return true;
  }
  bool take_word(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  bool keeps(int depth, Json::parse_event_t event, Json& value) const { return !keep_ || keep_(depth, event, value); }

  // `depth`: open arrays and objects around the value.
  Json parse_value(int depth) {
    skip_space();
    const char first = at_ < text_.size() ? text_[at_] : '\0';
    if (first == '{' || first == '[') {
      if (depth >= max_depth_) refuse(at_, "nested deeper than " + std::to_string(max_depth_) + " levels");
      return first == '{' ? parse_object(depth) : parse_array(depth);
    }
    Json value;
    if (first == '"') {
      value = parse_string();
    } else if (first == '-' || is_digit(first)) {
      value = parse_number();
    } else if (take_word("true")) {
      value = true;
    } else if (take_word("false")) {
      value = false;
    } else if (!take_word("null")) {
      unexpected("a value");
    }
    if (!keeps(depth, Json::parse_event_t::value, value)) return Json(Json::value_t::discarded);
    return value;
  }

  Json parse_object(int depth) {
    ++at_;
    Json none(Json::value_t::discarded);
    const bool kept = keeps(depth, Json::parse_event_t::object_start, none);
    Json value = Json::object();
    auto& members = value.get_ref<Json::object_t&>();
    std::unordered_set<std::string> keys;
    if (!take('}')) {
      do {
        skip_space();
        if (at_ >= text_.size() || text_[at_] != '"') unexpected("a key in double quotes");
        std::string key = parse_string();
        if (is_repeated(key, members, keys)) refuse(at_, "the key '" + key + "' occurs twice in one object");
        if (!take(':')) unexpected("':'");
        Json name = keep_ ? Json(key) : Json();
        const bool key_kept = keeps(depth + 1, Json::parse_event_t::key, name);
        Json member = parse_value(depth + 1);
        if (key_kept && !member.is_discarded()) members.emplace_back(std::move(key), std::move(member));
      } while (take(','));
      if (!take('}')) unexpected("',' or '}'");
    }
    if (!keeps(depth, Json::parse_event_t::object_end, value) || !kept) return none;
    return value;
  }

  Json parse_array(int depth) {
    ++at_;
    Json none(Json::value_t::discarded);
    const bool kept = keeps(depth, Json::parse_event_t::array_start, none);
    Json value = Json::array();
    auto& elements = value.get_ref<Json::array_t&>();
    if (!take(']')) {
      do {
        if (depth < 0) ++element_;
        Json element = parse_value(depth + 1);
        if (!element.is_discarded()) elements.push_back(std::move(element));
      } while (take(','));
      if (!take(']')) unexpected("',' or ']'");
    }
    if (depth < 0) element_ = 0;
    if (!keeps(depth, Json::parse_event_t::array_end, value) || !kept) return none;
    return value;
  }

  // Also notes the key. `members` lacks the keys that are not kept.
  bool is_repeated(const std::string& key, const Json::object_t& members, std::unordered_set<std::string>& keys) const {
    if (!keep_ && members.size() < small_object)
      return std::ranges::any_of(members, [&](const auto& member) { return member.first == key; });
    if (keys.empty()) {
      for (const auto& [name, member] : members) keys.insert(name);
    }
    return !keys.insert(key).second;
  }

  std::string parse_string() {
    const size_t start = at_++;
    std::string value;
    for (;;) {
      size_t end = at_;
      while (end < text_.size() && text_[end] != '"' && text_[end] != '\\' &&
             static_cast<unsigned char>(text_[end]) >= 0x20) {
        ++end;
      }
      value += text_.substr(at_, end - at_);
      at_ = end;
      if (at_ >= text_.size()) bad(start, "a text in quotes without an end");
      if (text_[at_] == '"') break;
      if (text_[at_] != '\\') bad(at_, "a control character inside a text in quotes, where JSON wants an escape");
      append_escape(value);
    }
    ++at_;
    return value;
  }

  void append_escape(std::string& value) {
    static constexpr std::string_view letters = "\"\\/bfnrt", meanings = "\"\\/\b\f\n\r\t";
    const size_t start = at_++;
    const char letter = at_ < text_.size() ? text_[at_] : '\0';
    ++at_;
    if (const size_t index = letters.find(letter); letter != '\0' && index != std::string_view::npos) {
      value += meanings[index];
      return;
    }
    if (letter != 'u') bad(start, "an unknown escape inside a text in quotes");
    unsigned code = parse_hex(start);
    if (code >= 0xD800 && code < 0xDC00 && text_.substr(at_).starts_with("\\u")) {
      at_ += 2;
      const unsigned low = parse_hex(start);
      if (low < 0xDC00 || low > 0xDFFF) bad(start, "a lone surrogate");
      code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
    } else if (code >= 0xD800 && code <= 0xDFFF) {
      bad(start, "a lone surrogate");
    }
    append_utf8(code, value);
  }

  unsigned parse_hex(size_t start) {
    unsigned code = 0;
    const std::string_view digits = text_.substr(at_, 4);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), code, 16);
    if (error != std::errc{} || digits.size() < 4 || end != digits.data() + 4)
      bad(start, "an escape \\u without four hexadecimal digits");
    at_ += 4;
    return code;
  }

  static void append_utf8(unsigned code, std::string& value) {
    if (code < 0x80) {
      value += static_cast<char>(code);
      return;
    }
    const int more = code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;  // bytes behind the first
    value += static_cast<char>(((0xF0 << (3 - more)) & 0xFF) | (code >> (6 * more)));
    for (int i = more - 1; i >= 0; --i) value += static_cast<char>(0x80 | (code >> (6 * i) & 0x3F));
  }

  void skip_digits() {
    if (at_ >= text_.size() || !is_digit(text_[at_])) unexpected("a digit");
    while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
  }

  Json parse_number() {
    const size_t start = at_;
    if (text_[at_] == '-') ++at_;
    if (at_ < text_.size() && text_[at_] == '0') {
      ++at_;
      if (at_ < text_.size() && is_digit(text_[at_])) bad(start, "a number that starts with 0");
    } else {
      skip_digits();
    }
    bool integer = true;
    if (at_ < text_.size() && text_[at_] == '.') {
      integer = false;
      ++at_;
      skip_digits();
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      integer = false;
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '+' || text_[at_] == '-')) ++at_;
      skip_digits();
    }
    return number_of(text_.substr(start, at_ - start), integer);
  }

  Json number_of(std::string_view text, bool integer) const {
    if (integer) {
      std::int64_t number = 0;
      std::uint64_t natural = 0;
      const bool negative = text[0] == '-';
      const auto [end, error] = negative ? std::from_chars(text.data(), text.data() + text.size(), number)
                                         : std::from_chars(text.data(), text.data() + text.size(), natural);
      if (error == std::errc{} && !(as_written_ && text == "-0")) return negative ? Json(number) : Json(natural);
    }
    double real = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), real);
    // Out of range is too large, or so small that it is 0 or a little more.
    if (error == std::errc::result_out_of_range) real = std::strtod(std::string(text).c_str(), nullptr);
    if (as_written_ && (!std::isfinite(real) || Json(real).dump() != text))
      return Json::binary(Json::binary_t::container_type(text.begin(), text.end()));
    if (!std::isfinite(real)) refuse(at_, "a number that no double can hold");
    return real;
  }

  std::string_view text_;
  size_t at_ = 0;
  const std::string& where_;
  ExitCode code_;
  int max_depth_;
  bool as_written_;
  const Json::parser_callback_t& keep_;
  bool of_records_ = false;   // the text is an array of records
  std::int64_t element_ = 0;  // of the records, which is being read, from 1
};

bool holds_written_number(const Json& value) {
  if (!value.is_structured()) return value.is_binary();
  return std::ranges::any_of(value, holds_written_number);
}

// What nlohmann's serializer writes, but for the numbers that are kept as their text.
void append_json(const Json& value, std::string& line) {
  if (const auto number = written_number(value)) {
    line += *number;
  } else if (!holds_written_number(value)) {
    line += value.dump(-1, ' ', false, Json::error_handler_t::strict);
  } else if (value.is_array()) {
    for (char before = '['; const Json& element : value) {
      line += std::exchange(before, ',');
      append_json(element, line);
    }
    line += ']';
  } else {
    for (char before = '{'; const auto& [key, member] : value.items()) {
      line += std::exchange(before, ',') + Json(key).dump(-1, ' ', false, Json::error_handler_t::strict) + ':';
      append_json(member, line);
    }
    line += '}';
  }
}

}  // namespace

Json parse_json(std::string_view text, const std::string& where, ExitCode code, int max_depth,
                const Json::parser_callback_t& keep) {
  return Parser(text, where, code, max_depth, false, keep).parse();
}

Json parse_json_as_written(std::string_view text, const std::string& where, ExitCode code, int max_depth) {
  return Parser(text, where, code, max_depth, true, nullptr).parse();
}

Json parse_json_array(std::string_view text, const std::string& where, ExitCode code) {
  return Parser(text, where, code, 64, true, nullptr).parse_records();
}

std::optional<std::string> written_number(const Json& value) {
  if (!value.is_binary()) return std::nullopt;
  const Json::binary_t& text = value.get_binary();
  return std::string(text.begin(), text.end());
}

std::string dump_json(const Json& value) {
  std::string line;
  append_json(value, line);
  return line;
}

}  // namespace steerlm
