#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {
namespace {

constexpr std::string_view rated[] = {"helpfulness", "correctness", "coherence", "complexity", "verbosity"};

// The record of prompt turns and a response, with the row's ratings 0-4 as its label.
Json answered(Json turns, const std::string& response, const Json& row, const Attributes& attributes,
              const std::string& where) {
  RatedLabel label(attributes, 0, 4);
  for (const std::string_view name : rated) {
    if (const Json* rating = find_member(row, name)) label.rate(std::string(name), *rating, where);
  }
  turns.push_back(make_turn("Assistant", response));
  turns.back()["label"] = label.json();
  return make_record(std::move(turns));
}

// Lines "<extra_id_1>Assistant" and "<extra_id_1>User" inside a prompt are turn starts; the line ends around them are
// the template's.
Json split_prompt(const std::string& prompt) {
  Json turns = Json::array();
  std::string_view role = "User";
  size_t value_start = 0;
  for (size_t line_start = 0; line_start < prompt.size();) {
    const size_t line_end = std::min(prompt.find('\n', line_start), prompt.size());
    const std::string_view line = std::string_view(prompt).substr(line_start, line_end - line_start);
    std::string_view next_role;
    if (line == "<extra_id_1>Assistant") next_role = "Assistant";
    if (line == "<extra_id_1>User") next_role = "User";
    if (!next_role.empty()) {
      if (line_start > 0)
        turns.push_back(make_turn(role, std::string_view(prompt).substr(value_start, line_start - 1 - value_start)));
      role = next_role;
      value_start = std::min(line_end + 1, prompt.size());
    }
    line_start = line_end + 1;
  }
  turns.push_back(make_turn(role, std::string_view(prompt).substr(value_start)));
  return turns;
}

}  // namespace

std::vector<Json> from_helpsteer(const Json& row, const Attributes& attributes, const std::string& where) {
  Json turns = Json::array();
  turns.push_back(make_turn("User", as_text(find_member(row, "prompt"), "'prompt'", where)));
  std::vector<Json> records;
  records.push_back(
      answered(std::move(turns), as_text(find_member(row, "response"), "'response'", where), row, attributes, where));
  return records;
}

std::vector<Json> from_helpsteer2(const Json& row, const Attributes& attributes, const std::string& where) {
  const Json turns = split_prompt(as_text(find_member(row, "prompt"), "'prompt'", where));
  std::vector<Json> records;
  if (row.contains("response_1") || row.contains("response_2")) {
    for (const char* key : {"response_1", "response_2"}) {
      Json answers = turns;
      answers.push_back(make_turn("Assistant", as_text(find_member(row, key), "'" + std::string(key) + "'", where)));
      records.push_back(make_record(std::move(answers)));
    }
    return records;
  }
  records.push_back(
      answered(turns, as_text(find_member(row, "response"), "'response'", where), row, attributes, where));
  return records;
}

}  // namespace steerlm
