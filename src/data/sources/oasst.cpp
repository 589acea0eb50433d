#include <utility>

#include "data/json_access.h"
#include "data/sources/sources.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// labels: {"quality": {"value": 0.5, "count": 3}, …}, or as in the Parquet files {"name": ["quality", …], "value":
// [0.5, …], …}.
Json label_of(const Json& message, const Conversion& conversion, const std::string& where) {
  const Json* labels = find_member(message, "labels");
  if (labels == nullptr || conversion.labels == Labels::dropped) return nullptr;
  as_object(labels, "'labels'", where);
  RatedLabel label(conversion, 0, 1);
  const Json* names = find_member(*labels, "name");
  if (names != nullptr && names->is_array()) {
    const Json& values = as_array(find_member(*labels, "value"), "'labels.value'", where);
    if (values.size() != names->size()) {
      fail(ExitCode::data,
           {.what = "'labels.name' and 'labels.value' are of different lengths",
            .where = where,
            .found = std::to_string(names->size()) + " names and " + std::to_string(values.size()) + " values"});
    }
    std::set<std::string> named;
    for (size_t i = 0; i < values.size(); ++i) {
      const std::string& name = as_text(&(*names)[i], "'labels.name'", where);
      if (!named.insert(name).second && conversion.attributes.index(name) && conversion.labels != Labels::ignored) {
        fail(ExitCode::data, {.what = "'labels.name' has a label twice",
                              .where = where,
                              .found = "'" + name + "'",
                              .expected = "each label at most once"});
      }
      label.rate(name, values[i], where);
    }
    return label.json();
  }
  for (const auto& [name, entry] : labels->items()) {
    if (!conversion.attributes.index(name) || entry.is_null()) continue;
    const Json* value = find_member(as_object(&entry, "the label '" + name + "'", where), "value");
    if (value != nullptr) {
      label.rate(name, *value, where);
    } else if (!entry.contains("value")) {
      fail(ExitCode::data, {.what = "the label '" + name + "' has no 'value'", .where = where});
    }
  }
  return label.json();
}

// `labels`, which the label is made of, and `replies` do not travel: they would be most of the record.
Json turn_of(const Json& message, bool assistant, const Conversion& conversion, const std::string& where) {
  constexpr std::string_view taken[] = {"role", "text", "label", "labels", "replies"};
  Json turn = make_turn(assistant ? "Assistant" : "User", as_text(find_member(message, "text"), "'text'", where));
  if (assistant) turn["label"] = label_of(message, conversion, where);
  if (const Json* label = find_member(message, "label")) {
    if (!turn["label"].is_null() && turn["label"] != *label)
      conversion.unobeyed.insert("'labels' of a turn, beside 'label'");
    turn["label"] = *label;
  }
  carry_over_to_turn(message, taken, turn, conversion.unobeyed);
  return turn;
}

// Adds the paths of the subtree of `message`, which comes after the turns of `path`.
void walk(const Json& message, const Conversion& conversion, Json& path, std::vector<Json>& paths) {
  const Json* id = find_member(message, "message_id");
  const std::string place =
      conversion.where + (id != nullptr && id->is_string() ? ", message " + id->get<std::string>() : "");
  as_object(&message, "a message", place);
  const std::string& role = as_text(find_member(message, "role"), "'role'", place);
  if (role != "prompter" && role != "assistant") {
    fail(ExitCode::data, {.what = "unknown role",
                          .where = place,
                          .found = "'" + role + "'",
                          .expected = "prompter or assistant",
                          .advice = suggest(role, {"prompter", "assistant"})});
  }
  path.push_back(turn_of(message, role == "assistant", conversion, place));
  const Json* replies = find_member(message, "replies");
  if (replies != nullptr && !as_array(replies, "'replies'", place).empty()) {
    for (const Json& reply : *replies) walk(reply, conversion, path, paths);
  } else if (path.size() >= 2) {
    paths.push_back(path);
  }
  path.erase(path.size() - 1);
}

}  // namespace

std::vector<Json> from_oasst(const Json& tree, const Conversion& conversion) {
  const Json& root = as_object(find_member(tree, "prompt"), "'prompt'", conversion.where);
  std::vector<Json> paths;
  Json path = Json::array();
  walk(root, conversion, path, paths);
  constexpr std::string_view taken[] = {"message_tree_id", "prompt"};
  const Json* id = find_member(tree, "message_tree_id");
  std::vector<Json> records;
  for (Json& turns : paths) {
    records.push_back(make_record(std::move(turns)));
    if (id != nullptr) records.back()["tree_id"] = *id;
    carry_over(tree, taken, records.back(), conversion.unobeyed);
  }
  return records;
}

}  // namespace steerlm
