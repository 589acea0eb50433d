#include <cmath>
#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/data/response_group.h"

namespace steerlm {
namespace {

// What a response says of itself: logarithms of probabilities, and how many tokens they are of.
void check_numbers(const Json& response, const std::string& where) {
  for (const std::string_view key : response_keys) {
    const Json* value = find_member(response, key);
    if (value == nullptr) continue;
    const std::optional<double> number = number_of(*value);
    if (number && std::isfinite(*number) && *number <= 0) continue;
    const bool text = value->is_string();
    fail(ExitCode::data, {.what = "'" + std::string(key) + "' is not the logarithm of a probability",
                          .where = where,
                          .found = text ? "the text " + value->dump() : kind_of(*value),
                          .expected = "a finite number of at most 0",
                          .advice = text ? "write it without quotes: jq -c '(.responses[] | .[\"" + std::string(key) +
                                               "\"] | strings) |= tonumber' FILE > NEW.jsonl"
                                         : "compute it with `steerlm score --responses`"});
  }
  const Json* tokens = find_member(response, response_tokens_key);
  if (tokens != nullptr && !(tokens->is_number_integer() && *tokens > 0)) {
    fail(ExitCode::data, {.what = "'" + std::string(response_tokens_key) + "' of a response is no number of tokens",
                          .where = where,
                          .found = kind_of(*tokens),
                          .expected = "an integer above 0",
                          .advice = "leave the key out, or compute it with `steerlm score --responses`"});
  }
}

// Writes `from` as a record has it; a role that there is no such name for stays, which the parser names.
void name_role(Json& turn, const std::string& where) {
  if (const auto role = our_role(as_text(find_member(turn, "from"), "'from'", where))) turn["from"] = *role;
}

// The turns of the prompt: context only, and an earlier answer without a label of its own gets the group's, as it does
// when the responses are sampled.
Json prompt_of(const Json& group, const Json* label, const Conversion& conversion) {
  const std::string& where = conversion.where;
  const Json& given = as_array(find_member(group, "prompt_turns"), "'prompt_turns'", where);
  Json turns = Json::array();
  for (const Json& entry : given) {
    const std::string place = where + ", prompt turn " + std::to_string(turns.size() + 1);
    as_object(&entry, "a prompt turn", place);
    Json turn = entry;
    name_role(turn, place);
    const bool answer = turn["from"] == "Assistant";
    if (answer) turn["weight"] = 0;
    if (answer && label != nullptr && find_member(turn, "label") == nullptr) turn["label"] = *label;
    turns.push_back(std::move(turn));
  }
  const bool asks = !turns.empty() && turns.back().at("from") == "User";
  if (!asks) {
    fail(ExitCode::data, {.what = "'prompt_turns' does not end in a user turn",
                          .where = where,
                          .found = turns.empty() ? "no turn" : "a turn of " + dump_json(turns.back().at("from")),
                          .expected = "the turns up to what the responses answer"});
  }
  return turns;
}

}  // namespace

std::vector<Json> from_response_group(const Json& group, const Conversion& conversion) {
  const std::string& where = conversion.where;
  constexpr std::string_view taken[] = {"prompt_turns", "responses", "label"};
  const Json* label = find_member(group, "label");
  if (label != nullptr) as_text(label, "'label'", where);
  const Json prompt = prompt_of(group, label, conversion);
  const Json& responses = as_array(find_member(group, "responses"), "'responses'", where);
  if (responses.empty())
    fail(ExitCode::data, {.what = "'responses' is empty", .where = where, .expected = "one response or more"});
  std::vector<Json> records;
  for (const Json& entry : responses) {
    const std::string place = where + ", response " + std::to_string(records.size() + 1);
    as_object(&entry, "a response", place);
    Json answer = entry;
    name_role(answer, place);
    if (answer["from"] != "Assistant") {
      fail(ExitCode::data, {.what = "a response of another role",
                            .where = place,
                            .found = "'" + entry.at("from").get<std::string>() + "'",
                            .expected = "'Assistant'"});
    }
    as_text(find_member(entry, "value"), "'value'", place);
    check_numbers(entry, place);
    const Json* own = find_member(entry, "label");
    if (own != nullptr && (label == nullptr || *own != *label)) conversion.unobeyed.insert("'label' of a response");
    Json turns = prompt;
    turns.push_back(std::move(answer));
    turns.back()["label"] = label != nullptr ? *label : Json(nullptr);
    records.push_back(make_record(std::move(turns)));
    if (label == nullptr) records.back()["type"] = nullptr;
    carry_over(group, taken, records.back(), conversion.unobeyed);
  }
  return records;
}

}  // namespace steerlm
