#include <algorithm>
#include <optional>
#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {
namespace {

constexpr std::string_view rated[] = {"helpfulness", "correctness", "coherence", "complexity", "verbosity"};

std::string advice_for(const std::string& key, const Json& rating) {
  const std::string path = "." + key;
  if (!rating.is_string()) {
    const std::optional<double> number = number_of(rating);
    return number && *number > 4 && *number <= 5
               ? "ratings from 1 to 5 become these: jq -c '(.helpfulness, .correctness, .coherence, .complexity, "
                 ".verbosity | numbers) -= 1' FILE > NEW.jsonl"
               : "bring the ratings of the whole file into this range, or read the source with labels: drop";
  }
  return "if it is no rating, give the key another name: jq -c '" + path + "_text = " + path + " | del(" + path +
         ")' FILE > NEW.jsonl, or read the source with labels: drop";
}

// The record of prompt turns and a response, with the row's ratings 0-4 as its label. A rating that is not declared
// stays a key of the record.
std::vector<Json> answered(Json turns, const Json& row, const Conversion& conversion) {
  const std::string& where = conversion.where;
  std::vector<std::string_view> taken{"prompt", "response"};
  RatedLabel label(conversion, 0, 4);
  for (const std::string_view name : rated) {
    const Json* rating = find_member(row, name);
    if (rating == nullptr) continue;
    if (label.rate(std::string(name), *rating, where, advice_for)) {
      taken.push_back(name);
    } else if (conversion.labels == Labels::obeyed || conversion.labels == Labels::kept) {
      conversion.unobeyed.insert("the rating '" + std::string(name) + "', which is not among the attributes");
    }
  }
  turns.push_back(make_turn("Assistant", as_text(find_member(row, "response"), "'response'", where)));
  turns.back()["label"] = label.json();
  std::vector<Json> records;
  records.push_back(make_record(std::move(turns)));
  carry_over(row, taken, records.back(), conversion.unobeyed);
  return records;
}

// Lines "<extra_id_1>Assistant" and "<extra_id_1>User" inside a prompt are turn starts; the line ends around them, LF
// or CR LF, are the template's.
Json split_prompt(const std::string& prompt) {
  Json turns = Json::array();
  std::string_view role = "User";
  size_t value_start = 0;
  for (size_t line_start = 0; line_start < prompt.size();) {
    const size_t line_end = std::min(prompt.find('\n', line_start), prompt.size());
    std::string_view line = std::string_view(prompt).substr(line_start, line_end - line_start);
    const bool carriage_return = line.ends_with('\r');
    if (carriage_return) line.remove_suffix(1);
    std::string_view next_role;
    if (line == "<extra_id_1>Assistant") next_role = "Assistant";
    if (line == "<extra_id_1>User") next_role = "User";
    if (!next_role.empty()) {
      size_t value_end = std::max(value_start + 1, line_start) - 1;  // a turn may be empty
      if (carriage_return && value_end > value_start && prompt[value_end - 1] == '\r') --value_end;
      if (line_start > 0)
        turns.push_back(make_turn(role, std::string_view(prompt).substr(value_start, value_end - value_start)));
      role = next_role;
      value_start = std::min(line_end + 1, prompt.size());
    }
    line_start = line_end + 1;
  }
  turns.push_back(make_turn(role, std::string_view(prompt).substr(value_start)));
  return turns;
}

}  // namespace

bool has_helpsteer_rating(const Json& row) {
  return row.is_object() &&
         std::ranges::any_of(rated, [&](std::string_view name) { return find_member(row, name) != nullptr; });
}

std::vector<Json> from_helpsteer(const Json& row, const Conversion& conversion) {
  Json turns = Json::array();
  turns.push_back(make_turn("User", as_text(find_member(row, "prompt"), "'prompt'", conversion.where)));
  return answered(std::move(turns), row, conversion);
}

std::vector<Json> from_helpsteer2(const Json& row, const Conversion& conversion) {
  const std::string& where = conversion.where;
  Json turns = split_prompt(as_text(find_member(row, "prompt"), "'prompt'", where));
  if (find_member(row, "response_1") == nullptr && find_member(row, "response_2") == nullptr)
    return answered(std::move(turns), row, conversion);
  constexpr std::string_view taken[] = {"prompt", "response_1", "response_2"};
  std::vector<Json> records;
  for (const std::string key : {"response_1", "response_2"}) {
    Json answers = turns;
    answers.push_back(make_turn("Assistant", as_text(find_member(row, key), "'" + key + "'", where)));
    records.push_back(make_record(std::move(answers)));
    records.back()["response"] = key;
    carry_over(row, taken, records.back(), conversion.unobeyed);
  }
  return records;
}

std::vector<Json> from_helpsteer3(const Json& row, const Conversion& conversion) {
  const std::string& where = conversion.where;
  constexpr std::string_view taken[] = {"context", "response1", "response2"};
  refuse_list_in_text(find_member(row, "context"), "context", where);
  const Json& context = as_array(find_member(row, "context"), "'context'", where);
  if (context.empty()) {
    fail(ExitCode::data,
         {.what = "'context' is empty", .where = where, .expected = "the messages up to what the responses answer"});
  }
  std::vector<Json> records;
  for (const std::string key : {"response1", "response2"}) {
    Json messages = context;
    messages.push_back({{"role", "assistant"}, {"content", as_text(find_member(row, key), "'" + key + "'", where)}});
    records.push_back(std::move(from_messages({{"messages", std::move(messages)}}, conversion).front()));
    records.back()["response"] = key;
    carry_over(row, taken, records.back(), conversion.unobeyed);
  }
  return records;
}

}  // namespace steerlm
