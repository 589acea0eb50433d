// ShareGPT and `messages`: the same thing under other names.
#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

struct ChatFormat {
  const char* list;  // key of the turns
  const char* role;  // keys of a turn
  const char* value;
  std::vector<std::pair<std::string, std::string>> roles;  // theirs, ours
};

const ChatFormat sharegpt{
    "conversations",
    "from",
    "value",
    {{"human", "User"}, {"gpt", "Assistant"}, {"user", "User"}, {"assistant", "Assistant"}, {"system", "System"}}};
const ChatFormat messages{
    "messages", "role", "content", {{"user", "User"}, {"assistant", "Assistant"}, {"system", "System"}}};

std::string our_role(const ChatFormat& format, const std::string& role, const std::string& where) {
  std::vector<std::string> known;
  for (const auto& [theirs, ours] : format.roles) {
    if (role == theirs) return ours;
    known.push_back(theirs);
  }
  fail(ExitCode::data, {.what = "unknown role in '" + std::string(format.role) + "'",
                        .where = where,
                        .found = "'" + role + "'",
                        .expected = join(known, ", "),
                        .advice = suggest(role, known)});
}

// A leading system message becomes `system`; a later one stays a turn that is never trained. Other keys travel along.
std::vector<Json> from_chat(const ChatFormat& format, Json object, const std::string& where) {
  const std::string list_name = "'" + std::string(format.list) + "'";
  const Json& list = as_array(find_member(object, format.list), list_name, where);
  if (list.empty())
    fail(ExitCode::data, {.what = "an empty conversation", .where = where, .expected = "one turn or more"});
  Json record = make_record(Json::array());
  Json& turns = record["conversations"];
  for (size_t i = 0; i < list.size(); ++i) {
    const std::string place = where + ", turn " + std::to_string(i + 1);
    const Json& entry = as_object(&list[i], "a turn", place);
    const std::string from =
        our_role(format, as_text(find_member(entry, format.role), "'" + std::string(format.role) + "'", place), place);
    const std::string& value = as_text(find_member(entry, format.value), "'" + std::string(format.value) + "'", place);
    if (from == "System" && i == 0) {
      record["system"] = value;
      continue;
    }
    if (from == "System") record["mask"] = "User,System";
    Json turn = make_turn(from, value);
    for (const auto& [key, member] : entry.items()) {
      if (key != format.role && key != format.value && key != "label") turn[key] = member;
    }
    turns.push_back(std::move(turn));
  }
  for (auto& [key, member] : object.items()) {
    if (key != format.list && !record.contains(key)) record[key] = std::move(member);
  }
  std::vector<Json> records;
  records.push_back(std::move(record));
  return records;
}

}  // namespace

std::vector<Json> from_sharegpt(Json object, const std::string& where) {
  return from_chat(sharegpt, std::move(object), where);
}

std::vector<Json> from_messages(Json object, const std::string& where) {
  return from_chat(messages, std::move(object), where);
}

}  // namespace steerlm
