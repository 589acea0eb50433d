#include "steerlm/data/prompt_line.h"

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {

bool has_turns(const Json& object) {
  const Json* turns = find_member(object, "turns");
  if (turns == nullptr || !turns->is_array()) return false;
  const Json* prompt = find_member(object, "prompt");
  return prompt == nullptr || (!turns->empty() && turns->back() == *prompt);
}

Json turns_of_prompt(const Json& object, const std::string& where) {
  Json turns = Json::array();
  const Json* prompt = find_member(object, "prompt");
  if (prompt != nullptr && !has_turns(object)) {
    turns.push_back(make_turn("User", as_text(prompt, "'prompt'", where)));
    return turns;
  }
  for (const Json& text : as_array(find_member(object, "turns"), "'turns'", where)) {
    turns.push_back(
        make_turn(turns.size() % 2 == 0 ? "User" : "Assistant", as_text(&text, "an entry of 'turns'", where)));
  }
  if (!turns.empty() && turns.size() % 2 == 0) {
    fail(ExitCode::data,
         {.what = "'turns' does not end with a text of the user",
          .where = where,
          .found = std::to_string(turns.size()) + " texts",
          .expected = "texts of user and assistant in turn, the first and the last of the user",
          .advice = "questions of MT-Bench are two texts of the user: jq -c '.turns |= .[:1]' FILE > NEW.jsonl keeps "
                    "the first, which can be answered without an answer to another one; of a dialogue that ends with "
                    "an answer: jq -c '.turns |= .[:-1]' FILE > NEW.jsonl"});
  }
  return turns;
}

}  // namespace steerlm
