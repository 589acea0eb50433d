#include "steerlm/eval/text_measures.h"

#include <algorithm>
#include <iterator>
#include <set>
#include <stdexcept>
#include <string>
#include <unordered_set>
#include <vector>

#include "eval/words.h"
#include "steerlm/eval/readability.h"

namespace steerlm {
namespace {

std::vector<std::string> lower_words(std::string_view text) {
  std::vector<std::string> words;
  for (std::string_view word : split_words(text).words) words.push_back(lower_case(word));
  return words;
}

constexpr double mtld_threshold = 0.72;

// The factors of the words in the order of the iterator.
template <class Iterator>
double mtld_factors(Iterator begin, Iterator end) {
  double factors = 0, ratio = 1;
  std::unordered_set<std::string> types;
  std::int64_t read = 0;
  for (Iterator word = begin; word != end; ++word) {
    types.insert(*word);
    ratio = static_cast<double>(types.size()) / static_cast<double>(++read);
    if (ratio > mtld_threshold) continue;
    ++factors;
    types.clear();
    read = 0;
  }
  return read > 0 ? factors + (1 - ratio) / (1 - mtld_threshold) : factors;
}

double mtld(const std::vector<std::string>& words) {
  const double count = static_cast<double>(words.size());
  const auto of_factors = [&](double factors) { return count / (factors > 0 ? factors : 1); };
  return (of_factors(mtld_factors(words.begin(), words.end())) +
          of_factors(mtld_factors(words.rbegin(), words.rend()))) /
         2;
}

std::string_view without_blanks_before(std::string_view line) {
  line.remove_prefix(std::min(line.find_first_not_of(" \t"), line.size()));
  return line;
}

std::string_view without_blanks_behind(std::string_view line) {
  return line.substr(0, line.find_last_not_of(" \t\r") + 1);
}

// How many of `mark` the line begins with.
size_t run_of(std::string_view line, char mark) { return std::min(line.find_first_not_of(mark), line.size()); }

// A thematic break: three or more of one of * - _ and nothing else but blanks.
bool is_rule(std::string_view line) {
  const char mark = line.empty() ? ' ' : line[0];
  if (mark != '*' && mark != '-') return false;
  return std::ranges::count(line, mark) >= 3 &&
         std::ranges::all_of(line, [&](char c) { return c == mark || c == ' ' || c == '\t'; });
}

bool is_list_item(std::string_view line) {
  constexpr std::string_view bullet = "\u2022";
  size_t mark = 0;  // bytes of the list marker
  if (line.starts_with('-') || line.starts_with('*') || line.starts_with('+')) mark = 1;
  if (line.starts_with(bullet)) mark = bullet.size();
  const size_t digits = std::min(line.find_first_not_of("0123456789"), line.size());
  if (digits > 0 && digits <= 9 && digits < line.size() && (line[digits] == '.' || line[digits] == ')'))
    mark = digits + 1;
  if (mark == 0 || mark >= line.size() || (line[mark] != ' ' && line[mark] != '\t')) return false;
  return !without_blanks_before(line.substr(mark)).empty() && !is_rule(line);
}

struct LineCounts {
  std::int64_t list_items = 0;
  std::int64_t code_lines = 0;
};

LineCounts count_lines(std::string_view text) {
  LineCounts counts;
  char fence = 0;  // the mark of the fence that is open, 0 outside of code
  size_t fence_length = 0;
  for (size_t begin = 0; begin < text.size();) {
    const size_t end = std::min(text.find('\n', begin), text.size());
    const std::string_view line = without_blanks_behind(without_blanks_before(text.substr(begin, end - begin)));
    begin = end + 1;
    if (fence != 0) {
      const bool closes = run_of(line, fence) >= fence_length && run_of(line, fence) == line.size();
      if (closes)
        fence = 0;
      else
        counts.code_lines += line.empty() ? 0 : 1;
      continue;
    }
    const size_t ticks = run_of(line, '`'), tildes = run_of(line, '~');
    // ```code``` on one line is no fence.
    const bool opens = tildes >= 3 || (ticks >= 3 && line.find('`', ticks) == std::string_view::npos);
    if (opens) {
      fence = line[0];
      fence_length = std::max(ticks, tildes);
      continue;
    }
    counts.list_items += is_list_item(line) ? 1 : 0;
  }
  return counts;
}

std::optional<double> upper_case_share(std::string_view text) {
  std::int64_t capital = 0, cased = 0;
  for (size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    i += point.length;
    if (point.value < 0) continue;
    const utf8proc_category_t category = utf8proc_category(point.value);
    const bool is_capital = category == UTF8PROC_CATEGORY_LU || category == UTF8PROC_CATEGORY_LT;
    capital += is_capital ? 1 : 0;
    cased += is_capital || category == UTF8PROC_CATEGORY_LL ? 1 : 0;
  }
  if (cased == 0) return std::nullopt;
  return static_cast<double>(capital) / static_cast<double>(cased);
}

std::optional<double> diversity(TextMeasure measure, std::string_view text) {
  const std::vector<std::string> words = lower_words(text);
  if (words.empty()) return std::nullopt;
  if (measure == TextMeasure::mtld) return mtld(words);
  const std::set<std::string> types(words.begin(), words.end());
  return static_cast<double>(types.size()) / static_cast<double>(words.size());
}

}  // namespace

std::optional<double> measure_text(TextMeasure measure, std::string_view text) {
  switch (measure) {
    case TextMeasure::characters:
      return static_cast<double>(readability(text).characters);
    case TextMeasure::words:
      return static_cast<double>(readability(text).words);
    case TextMeasure::sentences:
      return static_cast<double>(readability(text).sentences);
    case TextMeasure::flesch_kincaid: {
      const Readability found = readability(text);
      if (found.words == 0) return std::nullopt;
      return found.grade;
    }
    case TextMeasure::type_token_ratio:
    case TextMeasure::mtld:
      return diversity(measure, text);
    case TextMeasure::list_items:
      return static_cast<double>(count_lines(text).list_items);
    case TextMeasure::code_lines:
      return static_cast<double>(count_lines(text).code_lines);
    case TextMeasure::question_marks:
      return static_cast<double>(std::ranges::count(text, '?'));
    case TextMeasure::upper_case:
      return upper_case_share(text);
  }
  throw std::logic_error("a text measure without a formula");
}

}  // namespace steerlm
