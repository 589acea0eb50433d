#include "text/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <array>
#include <new>

#include "steerlm/core/error.h"
#include "text/unicode.h"

namespace steerlm {
namespace {

// Steps of one match. A sane expression on a text of a million characters takes fewer.
constexpr std::uint32_t largest_match = 10'000'000;
constexpr size_t largest_pattern = 20'000;  // code units; expressions of tokenizers have a few hundred

PCRE2_SPTR units(std::string_view text) { return reinterpret_cast<PCRE2_SPTR>(text.data()); }

// What a match writes to; one a thread, since it depends on no expression.
struct MatchState {
  pcre2_match_data* data = pcre2_match_data_create(1, nullptr);
  pcre2_match_context* context = pcre2_match_context_create(nullptr);
  pcre2_jit_stack* stack = pcre2_jit_stack_create(32 << 10, 8 << 20, nullptr);

  MatchState() {
    if (!data || !context) throw std::bad_alloc();
    pcre2_set_match_limit(context, largest_match);
    if (stack) pcre2_jit_stack_assign(context, nullptr, stack);
  }
  MatchState(const MatchState&) = delete;
  MatchState& operator=(const MatchState&) = delete;
  ~MatchState() {
    pcre2_jit_stack_free(stack);
    pcre2_match_context_free(context);
    pcre2_match_data_free(data);
  }
};

}  // namespace

Regex::Regex(std::string_view pattern, std::string where) : where_(std::move(where)) {
  if (pattern.size() > largest_pattern) {
    fail(ExitCode::model, {.what = "the regular expression is too long",
                           .where = where_,
                           .found = std::to_string(pattern.size()) + " bytes",
                           .expected = "at most " + std::to_string(largest_pattern)});
  }
  const std::string translated = translate_regex(pattern, where_);
  const std::unique_ptr<pcre2_compile_context, decltype(&pcre2_compile_context_free)> context(
      pcre2_compile_context_create(nullptr), &pcre2_compile_context_free);
  if (!context) throw std::bad_alloc();
  pcre2_set_newline(context.get(), PCRE2_NEWLINE_LF);
  int error = 0;
  PCRE2_SIZE at = 0;
  pcre2_code* code =
      pcre2_compile(units(translated), translated.size(), PCRE2_UTF | PCRE2_UCP, &error, &at, context.get());
  if (!code) {
    std::array<PCRE2_UCHAR, 200> message{};
    pcre2_get_error_message(error, message.data(), message.size());
    fail(ExitCode::model,
         {.what = "the regular expression is not valid: " + std::string(reinterpret_cast<char*>(message.data())),
          .where = where_,
          .found = std::string(pattern)});
  }
  code_ = std::shared_ptr<const void>(code, [](pcre2_code* owned) { pcre2_code_free(owned); });
  // Without it pcre2_match interprets: the same matches, slower.
  pcre2_jit_compile(code, PCRE2_JIT_COMPLETE);
}

// As onig's find_iter: an empty match right behind a match is passed over.
std::vector<Regex::Part> Regex::split(std::string_view text) const {
  static thread_local MatchState state;
  const auto* code = static_cast<const pcre2_code*>(code_.get());
  std::vector<Part> parts;
  size_t search = 0;
  size_t end_before = 0;  // of the last match, or of the last part
  bool matched = false;
  while (search <= text.size()) {
    const int found =
        pcre2_match(code, units(text), text.size(), search, PCRE2_NO_UTF_CHECK, state.data, state.context);
    if (found == PCRE2_ERROR_NOMATCH) break;
    if (found < 0) {
      fail(ExitCode::model, {.what = "the regular expression takes too many steps on a text of " +
                                     std::to_string(text.size()) + " bytes",
                             .where = where_});
    }
    const PCRE2_SIZE* ends = pcre2_get_ovector_pointer(state.data);
    const size_t begin = ends[0];
    const size_t end = ends[1];
    if (begin == end && matched && end == end_before) {
      search += search < text.size() ? utf8_length(text[search]) : 1;
      continue;
    }
    if (begin > end_before) parts.push_back({text.substr(end_before, begin - end_before), false});
    if (end > begin) parts.push_back({text.substr(begin, end - begin), true});
    search = end;
    end_before = end;
    matched = true;
  }
  if (end_before < text.size()) parts.push_back({text.substr(end_before), false});
  return parts;
}

}  // namespace steerlm
