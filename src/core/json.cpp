#include "steerlm/core/json.h"

#include <set>
#include <vector>

#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

// Builds nothing: walks the text once and notes what nlohmann's parser would let pass.
class StrictCheck : public nlohmann::json_sax<nlohmann::json> {
 public:
  explicit StrictCheck(int max_depth) : max_depth_(max_depth) {}

  bool null() override { return true; }
  bool boolean(bool) override { return true; }
  bool number_integer(number_integer_t) override { return true; }
  bool number_unsigned(number_unsigned_t) override { return true; }
  bool number_float(number_float_t, const string_t&) override { return true; }
  bool string(string_t&) override { return true; }
  bool binary(binary_t&) override { return true; }
  bool start_object(std::size_t) override {
    keys_.emplace_back();
    return deeper();
  }
  bool end_object() override {
    keys_.pop_back();
    --depth_;
    return true;
  }
  bool start_array(std::size_t) override { return deeper(); }
  bool end_array() override {
    --depth_;
    return true;
  }
  bool key(string_t& key) override {
    if (keys_.back().insert(key).second) return true;
    fault_ = "the key '" + key + "' occurs twice in one object";
    return false;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::json::exception& error) override {
    // nlohmann: "[json.exception.parse_error.101] parse error at line 1, column 9: syntax error …: unexpected …"
    std::string text = error.what();
    const size_t colon = text.find(": ");
    if (text.find("out_of_range") != std::string::npos || text.find("number overflow") != std::string::npos) {
      fault_ = "a number that no double can hold";
    } else if (colon != std::string::npos) {
      text = text.substr(colon + 2);
      if (text.rfind("syntax error ", 0) == 0) text = text.substr(13);
      fault_ = "not valid JSON at byte " + std::to_string(position) + ": " + text;
    } else {
      fault_ = "not valid JSON at byte " + std::to_string(position);
    }
    return false;
  }
  const std::string& fault() const { return fault_; }

 private:
  bool deeper() {
    if (++depth_ <= max_depth_) return true;
    fault_ = "nested deeper than " + std::to_string(max_depth_) + " levels";
    return false;
  }

  int max_depth_;
  int depth_ = 0;
  std::vector<std::set<std::string>> keys_;
  std::string fault_;
};

}  // namespace

Json parse_json(std::string_view text, const std::string& where, ExitCode code, int max_depth,
                const Json::parser_callback_t& keep) {
  if (const auto bad = find_invalid_utf8(text)) {
    fail(code, {.what = "not valid UTF-8 at byte " + std::to_string(*bad + 1), .where = where});
  }
  if (const size_t nul = text.find('\0'); nul != std::string_view::npos) {
    fail(code, {.what = "a raw NUL byte at byte " + std::to_string(nul + 1), .where = where});
  }
  StrictCheck check(max_depth);
  if (!nlohmann::json::sax_parse(text, &check) || !check.fault().empty())
    fail(code, {.what = check.fault(), .where = where});
  return Json::parse(text, keep);
}

std::string dump_json(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::strict); }

}  // namespace steerlm
