#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {

std::vector<Json> from_text(const Json& line, const Conversion& conversion) {
  Json turns = Json::array();
  turns.push_back(make_turn("User", as_text(&line, "a text", conversion.where)));
  std::vector<Json> records;
  records.push_back(make_record(std::move(turns)));
  records.back()["type"] = nullptr;
  return records;
}

bool is_prompt_line(const Json& object) {
  if (!object.is_object()) return false;
  for (const char* key : {"conversations", "messages", "chosen", "rejected", "response", "response_1", "response_2"}) {
    if (find_member(object, key) != nullptr) return false;
  }
  const Json* prompt = find_member(object, "prompt");
  return prompt != nullptr ? !prompt->is_object() : find_member(object, "turns") != nullptr;
}

Json from_prompt_line(const Json& object, const std::string& where) {
  Json turns = Json::array();
  if (const Json* prompt = find_member(object, "prompt")) {
    turns.push_back(make_turn("User", as_text(prompt, "'prompt'", where)));
  } else {
    for (const Json& text : as_array(find_member(object, "turns"), "'turns'", where)) {
      turns.push_back(
          make_turn(turns.size() % 2 == 0 ? "User" : "Assistant", as_text(&text, "an entry of 'turns'", where)));
    }
  }
  Json record = make_record(std::move(turns));
  if (const Json* system = find_member(object, "system")) record["system"] = *system;
  return record;
}

namespace {

bool is_of_user(const Json& turn) {
  const Json* from = turn.is_object() ? find_member(turn, "from") : nullptr;
  return from != nullptr && *from == "User";
}

}  // namespace

bool is_generated(const Json& object) {
  const auto has = [&](const char* key) { return find_member(object, key) != nullptr; };
  return object.is_object() && has("response") && has("token_ids") && has("logprob") && has("finish") &&
         (has("conversations") || has("prompt") || has("turns"));
}

Json from_generated(const Json& object, const Conversion& conversion) {
  Json answer = make_turn("Assistant", as_text(find_member(object, "response"), "'response'", conversion.where));
  Json record;
  if (const Json* conversation = find_member(object, "conversations")) {
    record = object;
    record.erase("response");
    record["conversations"] = as_array(conversation, "'conversations'", conversion.where);
  } else {
    record = from_prompt_line(object, conversion.where);
    const std::string_view text = find_member(object, "prompt") != nullptr ? "prompt" : "turns";
    const std::string_view taken[] = {text, "system", "response"};
    carry_over(object, taken, record, conversion.unobeyed);
  }
  Json& turns = record["conversations"];
  while (!turns.empty() && !is_of_user(turns.back())) turns.erase(turns.size() - 1);
  turns.push_back(std::move(answer));
  return record;
}

}  // namespace steerlm
