// ShareGPT and `messages`: the same thing under other names.
#include <algorithm>
#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// Our roles and the names that published data has for them, in small letters.
struct RoleNames {
  std::string_view ours;
  std::vector<std::string> theirs;
};
const std::vector<RoleNames> role_names{
    {"User", {"user", "human", "prompter"}},
    {"Assistant", {"assistant", "gpt", "chatgpt", "bing", "bard", "model", "ai", "bot"}},
    {"System", {"system", "developer"}}};
const std::vector<std::string> tool_roles{"tool",      "function",      "function_call",     "observation",
                                          "tool_call", "tool_response", "function_response", "tool_results",
                                          "ipython"};

std::string small_letters(std::string_view text) {
  std::string small(text);
  for (char& c : small) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  return small;
}

std::string_view role_of(const std::string& role, const std::string& name, const std::string& where) {
  if (const auto ours = our_role(role)) return *ours;
  if (std::ranges::find(tool_roles, small_letters(role)) != tool_roles.end()) {
    fail(ExitCode::data, {.what = "a turn of the role '" + role + "': conversations with tools cannot be trained on",
                          .where = where,
                          .advice = "take such conversations out"});
  }
  std::vector<std::string> known;
  for (const RoleNames& names : role_names) known.insert(known.end(), names.theirs.begin(), names.theirs.end());
  fail(ExitCode::data, {.what = "unknown role in '" + name + "'",
                        .where = where,
                        .found = "'" + role + "'",
                        .expected = join(known),
                        .advice = suggest(role, known)});
}

// A text, or a list of parts {"type": "text", "text": …} (input_text and output_text of OpenAI's responses), which
// are joined as chat templates join them.
std::string value_of(const Json& content, const std::string& name, const std::string& where) {
  if (!content.is_array()) return as_text(&content, name, where);
  std::string value;
  for (const Json& part : content) {
    if (part.is_string()) {
      value += part.get_ref<const std::string&>();
      continue;
    }
    as_object(&part, "a part of " + name, where);
    const Json* type = find_member(part, "type");
    if (type != nullptr && *type != "text" && *type != "input_text" && *type != "output_text") {
      fail(ExitCode::data, {.what = "a part of " + name + " is not text",
                            .where = where,
                            .found = "the type " + dump_json(*type),
                            .expected = "text",
                            .advice = "take such conversations out"});
    }
    value += as_text(find_member(part, "text"), "'text' of a part of " + name, where);
  }
  return value;
}

// What the parts have besides `type` and `text`, an object for each; null where none has anything.
Json keys_of_parts(const Json& content) {
  if (!content.is_array()) return nullptr;
  Json keys = Json::array();
  bool any = false;
  for (const Json& part : content) {
    Json own = part.is_object() ? part : Json::object();
    own.erase("type");
    own.erase("text");
    any |= !own.empty();
    keys.push_back(std::move(own));
  }
  return any ? keys : Json(nullptr);
}

// The first of two keys that the turn has; the second where it has none.
std::string key_of(const Json& turn, const char* first, const char* second) {
  return find_member(turn, first) != nullptr || find_member(turn, second) == nullptr ? first : second;
}

struct ChatTurn {
  std::string_view role;
  Json json;  // ours
};

ChatTurn parse_chat_turn(const Json& entry, const char* role_key, const char* value_key, const std::string& where,
                         std::set<std::string>& unobeyed) {
  as_object(&entry, "a turn", where);
  const bool from = std::string_view(role_key) == "from";
  const std::string role_name = key_of(entry, role_key, from ? "role" : "from");
  const std::string value_name = key_of(entry, value_key, from ? "content" : "value");
  const std::string_view role =
      role_of(as_text(find_member(entry, role_name), "'" + role_name + "'", where), role_name, where);
  const Json* content = find_member(entry, value_name);
  if (content == nullptr) refuse_bare_tool_call(entry, "", where);
  if (content == nullptr) as_text(content, "'" + value_name + "'", where);
  Json turn = make_turn(role, value_of(*content, "'" + value_name + "'", where));
  refuse_bare_tool_call(entry, turn["value"].get_ref<const std::string&>(), where);
  if (const Json* label = find_member(entry, "label")) turn["label"] = *label;
  if (Json keys = keys_of_parts(*content); !keys.is_null()) turn["content_parts"] = std::move(keys);
  const std::string_view taken[] = {role_name, value_name, "label"};
  carry_over_to_turn(entry, taken, turn, unobeyed);
  return {role, std::move(turn)};
}

// What a system message has besides its role and its text.
Json further_keys(Json turn) {
  turn.erase("from");
  turn.erase("value");
  if (turn["label"].is_null()) turn.erase("label");
  return turn;
}

// The turns as the object has them.
const Json* list_of(const Json& object) {
  const Json* list = find_member(object, "conversations");
  if (list == nullptr) list = find_member(object, "messages");
  return list != nullptr && list->is_array() ? list : nullptr;
}

std::string role_text(const Json& turn) {
  if (!turn.is_object()) return "";
  for (const char* key : {"from", "role"}) {
    const Json* role = find_member(turn, key);
    if (role != nullptr) return role->is_string() ? role->get<std::string>() : "";
  }
  return "";
}

bool is_of_user(const Json& turn) { return our_role(role_text(turn)) == "User"; }

// A turn of a tool, or one that calls a tool and has no text. A text in parts counts as none.
bool is_of_tools(const Json& turn) {
  if (!turn.is_object()) return false;
  if (std::ranges::find(tool_roles, small_letters(role_text(turn))) != tool_roles.end()) return true;
  const Json* text = nullptr;
  for (const char* key : {"content", "value"}) text = text == nullptr ? find_member(turn, key) : text;
  if (text != nullptr && !text->is_string() && !text->is_array()) return false;
  const std::string said = text != nullptr && text->is_string() ? text->get<std::string>() : "";
  return bare_tool_call(turn, said).has_value();
}

// How many turns the object has up to the last one of the user; 0 where none is the user's.
size_t turns_up_to_user(const Json& list) {
  size_t number = list.size();
  while (number > 0 && !is_of_user(list[number - 1])) --number;
  return number;
}

bool names_system(const std::string& mask) { return ("," + mask + ",").find(",System,") != std::string::npos; }

// A mask or type of the object holds where it is one of ours; roles in small letters are.
void take_mask_and_type(const Json& object, Json& record, std::set<std::string>& unobeyed) {
  if (const Json* type = find_member(object, "type")) {
    if (*type == "VALUE_TO_TEXT" || *type == "TEXT_TO_VALUE")
      record["type"] = *type;
    else
      unobeyed.insert("'type'");
  }
  const Json* mask = find_member(object, "mask");
  if (mask == nullptr) return;
  const std::string text = mask->is_string() ? mask->get<std::string>() : "?";
  std::string ours;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(',', start), text.size());
    std::string role = text.substr(start, end - start);
    std::erase(role, ' ');
    start = end + 1;
    const auto known = our_role(role);
    if (!known) {
      unobeyed.insert("'mask'");
      return;
    }
    ours += (ours.empty() ? "" : ",") + std::string(*known);
  }
  record["mask"] = ours;
}

// LIMA's turns are texts alone: the user's and the assistant's in turn.
void refuse_texts(const Json& list, const std::string& list_key, const std::string& role_key,
                  const std::string& value_key, const std::string& where) {
  if (!std::ranges::all_of(list, [](const Json& turn) { return turn.is_string(); })) return;
  fail(ExitCode::data, {.what = "the turns of '" + list_key + "' are texts that do not say whose they are",
                        .where = where,
                        .expected = "objects with '" + role_key + "' and '" + value_key + "'",
                        .advice = "if user and assistant speak in turn: jq -c '." + list_key + " |= [to_entries[] | {" +
                                  role_key + ": (if .key % 2 == 0 then \"user\" else \"assistant\" end), " + value_key +
                                  ": .value}]' FILE > NEW.jsonl"});
}

// A leading system message becomes `system`, and what it has besides its text `system_message`; a later one stays a
// turn that is never trained. Other keys travel along.
std::vector<Json> from_chat(const Json& object, const char* list_key, const char* role_key, const char* value_key,
                            const Conversion& conversion) {
  const std::string& where = conversion.where;
  const Json* given = find_member(object, list_key);
  refuse_list_in_text(given, list_key, where);
  const Json& list = as_array(given, "'" + std::string(list_key) + "'", where);
  if (list.empty())
    fail(ExitCode::data, {.what = "an empty conversation", .where = where, .expected = "one turn or more"});
  refuse_texts(list, list_key, role_key, value_key, where);
  Json record = make_record(Json::array());
  bool later_system = false;
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = where + ", turn " + std::to_string(i + 1);
    ChatTurn turn = parse_chat_turn(list[i], role_key, value_key, place, conversion.unobeyed);
    if (turn.role == "System" && i == 0) {
      record["system"] = turn.json.at("value");
      const Json* other = find_member(object, "system");
      if (other != nullptr && *other != record["system"])
        conversion.unobeyed.insert("'system', beside a system message");
      if (Json keys = further_keys(std::move(turn.json)); !keys.empty()) record["system_message"] = std::move(keys);
      continue;
    }
    later_system |= turn.role == "System";
    record["conversations"].push_back(std::move(turn.json));
  }
  take_mask_and_type(object, record, conversion.unobeyed);
  const std::string mask = record["mask"];
  if (later_system && !names_system(mask)) record["mask"] = mask + (mask.empty() ? "System" : ",System");
  std::vector<std::string_view> taken{list_key, "mask", "type"};
  if (record.contains("system")) taken.emplace_back("system");  // of the system message
  carry_over(object, taken, record, conversion.unobeyed);
  std::vector<Json> records;
  records.push_back(std::move(record));
  return records;
}

}  // namespace

std::optional<std::string_view> our_role(std::string_view role) {
  const std::string name = small_letters(role);
  for (const RoleNames& names : role_names) {
    if (std::ranges::find(names.theirs, name) != names.theirs.end()) return names.ours;
  }
  return std::nullopt;
}

bool ends_with_user(const Json& object) {
  const Json* list = list_of(object);
  return list != nullptr && !list->empty() && is_of_user(list->back());
}

void drop_behind_user(Json& object) {
  const Json* list = list_of(object);
  const size_t kept = list != nullptr ? turns_up_to_user(*list) : 0;
  if (kept == 0) return;
  Json& turns = object[find_member(object, "conversations") != nullptr ? "conversations" : "messages"];
  while (turns.size() > kept) turns.erase(turns.size() - 1);
}

void drop_tools_behind_user(Json& object) {
  const Json* list = object.is_object() ? list_of(object) : nullptr;
  if (list == nullptr) return;
  const auto behind = list->begin() + static_cast<std::ptrdiff_t>(turns_up_to_user(*list));
  if (std::any_of(behind, list->end(), is_of_tools)) drop_behind_user(object);
}

std::vector<Json> from_sharegpt(const Json& object, const Conversion& conversion) {
  return from_chat(object, "conversations", "from", "value", conversion);
}

std::vector<Json> from_messages(const Json& object, const Conversion& conversion) {
  return from_chat(object, "messages", "role", "content", conversion);
}

}  // namespace steerlm
