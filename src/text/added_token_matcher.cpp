#include "text/added_token_matcher.h"

#include <algorithm>

#include "text/unicode.h"

namespace steerlm {
namespace {

bool inside_word(std::string_view text, size_t begin, size_t end) {
  return (begin > 0 && is_word(last_character(text.substr(0, begin)))) ||
         (end < text.size() && is_word(first_character(text.substr(end))));
}

}  // namespace

void AddedTokenMatcher::add(std::string spelling, const AddedToken& token, bool hidden) {
  std::vector<size_t>& lengths = lengths_[static_cast<unsigned char>(spelling[0])];
  if (std::ranges::find(lengths, spelling.size()) == lengths.end()) {
    lengths.push_back(spelling.size());
    std::ranges::sort(lengths, std::greater());
  }
  spellings_[std::move(spelling)] = static_cast<std::int32_t>(entries_.size());
  entries_.push_back({token, hidden});
}

const AddedTokenMatcher::Entry* AddedTokenMatcher::longest_at(std::string_view text, size_t* length) const {
  for (const size_t size : lengths_[static_cast<unsigned char>(text[0])]) {
    if (size > text.size()) continue;
    const auto entry = spellings_.find(text.substr(0, size));
    if (entry == spellings_.end()) continue;
    *length = size;
    return &entries_[static_cast<size_t>(entry->second)];
  }
  return nullptr;
}

std::vector<AddedTokenMatcher::Part> AddedTokenMatcher::split(std::string_view text, bool show_hidden) const {
  if (entries_.empty() || text.empty()) return {{text, -1}};
  std::vector<Part> parts;
  size_t end_before = 0;
  for (size_t at = 0; at < text.size();) {
    size_t length = 0;
    const Entry* entry = longest_at(text.substr(at), &length);
    if (!entry) {
      ++at;
      continue;
    }
    size_t begin = at;
    size_t end = at + length;
    at = end;
    if (entry->hidden && !show_hidden) continue;
    if (entry->token.single_word && inside_word(text, begin, end)) continue;
    if (entry->token.strip_left) begin = std::max(begin - trailing_space(text.substr(0, begin)), end_before);
    if (entry->token.strip_right) end += leading_space(text.substr(end));
    if (begin > end_before) parts.push_back({text.substr(end_before, begin - end_before), -1});
    parts.push_back({text.substr(begin, end - begin), *entry->token.id});
    end_before = end;
  }
  if (end_before < text.size()) parts.push_back({text.substr(end_before), -1});
  return parts;
}

}  // namespace steerlm
