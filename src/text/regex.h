// The regular expressions of tokenizer.json, which are Oniguruma's, on PCRE2.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace steerlm {

// The same expression for PCRE2 (UTF, UCP, newline LF). Spelt out where the two differ: \s is White_Space (PCRE2's \s
// has U+180E too), \v is one character, {,n} starts at 0. Throws model, at `where`, for what is not known to mean the
// same in both, of which tokenizers have no need: anchors, back-references, named groups, `{n}+`, sets within sets,
// scripts.
std::string translate_regex(std::string_view pattern, const std::string& where);

// Immutable; may be used by several threads.
class Regex {
 public:
  // Throws model, at `where`: not translatable, not valid.
  Regex(std::string_view pattern, std::string where);

  // Cuts valid UTF-8 at the ends of all matches, from left to right: consecutive parts, and whether each is a match.
  // None is empty. Throws model where a match takes too many steps.
  struct Part {
    std::string_view text;
    bool match;
  };
  std::vector<Part> split(std::string_view text) const;

 private:
  std::string where_;
  std::shared_ptr<const void> code_;
};

}  // namespace steerlm
