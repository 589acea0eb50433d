#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"

namespace steerlm {
namespace {

constexpr std::string_view user_mark = "\n\nHuman:";
constexpr std::string_view assistant_mark = "\n\nAssistant:";

// Other sets have the same two keys: a prompt beside them (TRL), or lists of messages (UltraFeedback, Skywork, Tulu).
std::string advice_for(const Json& pair) {
  const Json* prompt = find_member(pair, "prompt");
  return prompt != nullptr && prompt->is_string()
             ? "pairs whose prompt stands beside them are read with format: reward-bench in a recipe, --format "
               "reward-bench to `steerlm data`"
             : "";
}

// "\n\nHuman: Hi\n\nAssistant: Hello" -> two turns. The one space after a mark is not part of the value; empty values
// are kept.
Json split(const std::string& text, const std::string& name, const std::string& where, const Json& pair) {
  Json turns = Json::array();
  const bool user_first = text.starts_with(user_mark);
  if (!user_first && !text.starts_with(assistant_mark)) {
    fail(ExitCode::data, {.what = name + " does not start with a mark",
                          .where = where,
                          .found = Json(text.substr(0, 20)).dump(-1, ' ', false, Json::error_handler_t::replace),
                          .expected = "\"\\n\\nHuman: \"",
                          .advice = advice_for(pair)});
  }
  for (size_t at = 0; at < text.size();) {
    const bool user = text.compare(at, user_mark.size(), user_mark) == 0;
    size_t start = at + (user ? user_mark.size() : assistant_mark.size());
    if (start < text.size() && text[start] == ' ') ++start;
    const size_t next = std::min({text.find(user_mark, start), text.find(assistant_mark, start), text.size()});
    turns.push_back(make_turn(user ? "User" : "Assistant", std::string_view(text).substr(start, next - start)));
    at = next;
  }
  return turns;
}

void refuse_messages(const Json* side, const std::string& name, const std::string& where) {
  if (side == nullptr || !side->is_array() || side->empty() || !side->front().is_object()) return;
  fail(ExitCode::data,
       {.what = name + " is a list of messages",
        .where = where,
        .expected = "a text with the marks \"\\n\\nHuman:\" and \"\\n\\nAssistant:\"",
        .advice =
            "make rows of HelpSteer3 of them: jq -c '. + {context: ((if .chosen[:-1] != [] then [] elif (.prompt | "
            "type) == \"string\" then [{role: \"user\", content: .prompt}] else .prompt // [] end) + .chosen[:-1]), "
            "response1: .chosen[-1].content, response2: .rejected[-1].content, overall_preference: -1} | del(.prompt, "
            ".chosen, .rejected, .messages)' FILE > NEW.jsonl"});
}

}  // namespace

std::vector<Json> from_hh_rlhf(const Json& pair, const Conversion& conversion) {
  constexpr std::string_view taken[] = {"chosen", "rejected"};
  std::vector<Json> records;
  for (const std::string_view key : taken) {
    const std::string name = "'" + std::string(key) + "'";
    refuse_list_in_text(find_member(pair, key), std::string(key), conversion.where);
    refuse_messages(find_member(pair, key), name, conversion.where);
    const std::string& text = as_text(find_member(pair, key), name, conversion.where);
    records.push_back(make_record(split(text, name, conversion.where, pair)));
    records.back()["response"] = key;
    carry_over(pair, taken, records.back(), conversion.unobeyed);
  }
  return records;
}

}  // namespace steerlm
