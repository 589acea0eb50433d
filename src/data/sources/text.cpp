#include <algorithm>
#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/data/prompt_line.h"

namespace steerlm {

std::vector<Json> from_text(const Json& line, const Conversion& conversion) {
  Json turns = Json::array();
  turns.push_back(make_turn("User", as_text(&line, "a text", conversion.where)));
  std::vector<Json> records;
  records.push_back(make_record(std::move(turns)));
  records.back()["type"] = nullptr;
  return records;
}

namespace {

// Which of its line's responses a record of pairs is: "chosen", "rejected[2]", "response_1".
bool names_a_response(const std::string& response) {
  constexpr std::string_view names[] = {"chosen", "rejected", "response_1", "response_2", "response1", "response2"};
  const std::string_view name = std::string_view(response).substr(0, response.find('['));
  const std::string_view number = std::string_view(response).substr(name.size());
  const bool numbered =
      number.size() > 2 && number.ends_with(']') && number.find_first_not_of("0123456789", 1) == number.size() - 1;
  return std::ranges::find(names, name) != std::end(names) && (number.empty() || numbered);
}

// Whether the object has a text that could be an answer, beside what it would answer.
bool has_answer(const Json& object) {
  const Json* response = find_member(object, "response");
  return response != nullptr && response->is_string() && *response != "" &&
         !names_a_response(response->get_ref<const std::string&>());
}

bool has_conversation(const Json& object) {
  return find_member(object, "conversations") != nullptr || find_member(object, "messages") != nullptr;
}

}  // namespace

bool is_prompt_line(const Json& object) {
  if (!object.is_object()) return false;
  for (const char* key : {"conversations", "messages", "chosen", "rejected", "response", "response_1", "response_2"}) {
    if (find_member(object, key) != nullptr) return false;
  }
  const Json* prompt = find_member(object, "prompt");
  return prompt != nullptr ? !prompt->is_object() : find_member(object, "turns") != nullptr;
}

Json from_prompt_line(const Json& object, const std::string& where, std::set<std::string>& unobeyed) {
  std::vector<std::string_view> taken{"prompt", "system"};
  const Json* turns = find_member(object, "turns");
  if (has_turns(object))
    taken.emplace_back("turns");
  else if (turns != nullptr && turns->is_array())
    unobeyed.insert("'turns', beside 'prompt'");
  Json record = make_record(turns_of_prompt(object, where));
  if (const Json* system = find_member(object, "system")) record["system"] = *system;
  carry_over(object, taken, record, unobeyed);
  return record;
}

bool is_generated(const Json& object) {
  const auto has = [&](const char* key) { return find_member(object, key) != nullptr; };
  if (!object.is_object() || !has("response")) return false;
  if (has("token_ids") && has("logprob") && has("finish"))
    return has_conversation(object) || has_turns(object) || has("prompt");
  return has_answer(object) && (has_conversation(object) ? ends_with_user(object) : has_turns(object));
}

void note_unused_response(const Json& object, std::set<std::string>& unobeyed) {
  if (has_conversation(object) && has_answer(object)) unobeyed.insert("'response', beside an answer");
}

Json from_generated(const Json& object, const Conversion& conversion) {
  Json answer = make_turn("Assistant", as_text(find_member(object, "response"), "'response'", conversion.where));
  Json rest = object;
  rest.erase("response");
  drop_behind_user(rest);
  Json record;
  if (const Json* conversation = find_member(rest, "conversations")) {
    as_array(conversation, "'conversations'", conversion.where);
    const bool ours = conversations_or_sharegpt(*conversation) != Format::sharegpt;
    record = ours ? std::move(rest) : std::move(from_sharegpt(rest, conversion).front());
  } else if (find_member(rest, "messages") != nullptr) {
    record = std::move(from_messages(rest, conversion).front());
  } else {
    record = from_prompt_line(rest, conversion.where, conversion.unobeyed);
  }
  if (!ends_with_user(record)) {
    fail(ExitCode::data, {.what = "'response' beside a conversation without a turn of the user, which it would answer",
                          .where = conversion.where});
  }
  record["conversations"].push_back(std::move(answer));
  return record;
}

}  // namespace steerlm
