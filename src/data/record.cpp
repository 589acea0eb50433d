#include "steerlm/data/record.h"
#include "steerlm/data/place.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <optional>
#include <utility>

#include "data/json_access.h"
#include "steerlm/core/suggest.h"
#include "steerlm/data/human_label.h"

namespace steerlm {
namespace {

const std::vector<std::string> roles{"User", "Assistant", "System"};
const std::vector<std::string> types{"VALUE_TO_TEXT", "TEXT_TO_VALUE"};

void expect_role(const std::string& role, const std::string& name, const std::string& where) {
  for (const std::string& known : roles) {
    if (role == known) return;
  }
  fail(ExitCode::data, {.what = "unknown role in " + name,
                        .where = where,
                        .found = "'" + role + "'",
                        .expected = join(roles, ", "),
                        .advice = suggest(role, roles)});
}

// "User, Assistant" -> {User, Assistant}; "" masks nobody.
std::vector<std::string> parse_mask(const std::string& mask, const std::string& where) {
  std::vector<std::string> masked;
  if (mask.find_first_not_of(' ') == std::string::npos) return masked;
  for (std::string& role : split(mask)) {
    role.erase(0, std::min(role.find_first_not_of(' '), role.size()));
    role.erase(role.find_last_not_of(' ') + 1);
    expect_role(role, "'mask'", where);
    masked.push_back(std::move(role));
  }
  return masked;
}

ConversationType parse_type(const Json& type, const std::string& where) {
  const std::string& name = as_text(&type, "'type'", where);
  if (name == types[0]) return ConversationType::value_to_text;
  if (name == types[1]) return ConversationType::text_to_value;
  fail(ExitCode::data, {.what = "unknown 'type'",
                        .where = where,
                        .found = "'" + name + "'",
                        .expected = join(types, ", ") + " or null",
                        .advice = suggest(name, types)});
}

// How data sets say of a turn whether it is trained: OpenAI, Fireworks, Mistral (weight); axolotl (train, training);
// XTuner, ms-swift, GLM (loss); torchtune (masked).
struct TrainingKey {
  const char* name;
  bool trains_when_true;
  bool strict;  // another value than a boolean, 0 or 1 is an error: the name has no other meaning; else it is named
};
constexpr TrainingKey training_keys[] = {
    {"weight", true, true},        {"train", true, true}, {"training", true, true}, {"trainable", true, true},
    {"train_on_turn", true, true}, {"loss", true, false}, {"masked", false, false}};

bool is_context_only(const Json& turn, const std::string& where) {
  bool context_only = false;
  for (const TrainingKey& key : training_keys) {
    const Json* value = find_member(turn, key.name);
    if (value == nullptr) continue;
    if (const std::optional<bool> truth = truth_of(*value)) {
      context_only |= *truth != key.trains_when_true;
    } else if (key.strict) {
      fail(ExitCode::data, {.what = "'" + std::string(key.name) + "' is neither 0 nor 1",
                            .where = where,
                            .found = value->is_string() ? "the text " + value->dump() : kind_of(*value),
                            .expected = "0 (the turn is context) or 1 (it is trained)"});
    }
  }
  return context_only;
}

Label parse_turn_label(const Json& label, const Attributes& attributes, const std::string& where) {
  const std::string advice =
      "labels of something else are left out with labels: drop on a recipe's source, or for all commands with jq -c "
      "'del(.. | .label?)' FILE > NEW.jsonl";
  if (!label.is_string()) {
    fail(ExitCode::data, {.what = "'label' has the wrong type",
                          .where = where,
                          .found = kind_of(label),
                          .expected = "text or null",
                          .advice = advice});
  }
  try {
    return parse_label(attributes, label.get_ref<const std::string&>(), where);
  } catch (const Error& error) {
    std::vector<Fault> faults = error.faults();
    for (Fault& fault : faults) {
      if (fault.advice.empty()) fault.advice = advice;
    }
    throw Error(error.code(), std::move(faults));
  }
}

Turn parse_turn(const Json& turn, size_t number, const Attributes& attributes, Labels labels, bool weights,
                const std::string& where) {
  const std::string place = where + ", turn " + std::to_string(number + 1);
  if (!turn.is_object())
    fail(ExitCode::data,
         {.what = "a turn that is not an object", .where = place, .found = kind_of(turn), .expected = "an object"});
  Turn parsed;
  parsed.from = as_text(find_member(turn, "from"), "'from'", place);
  expect_role(parsed.from, "'from'", place);
  parsed.value = as_text(find_member(turn, "value"), "'value'", place);
  refuse_bare_tool_call(turn, parsed.value, place);
  if (weights) parsed.context_only = is_context_only(turn, place);
  const Json* label = find_member(turn, "label");
  if (label != nullptr && labels == Labels::obeyed) parsed.label = parse_turn_label(*label, attributes, place);
  return parsed;
}

// The tree that the conversation is a path of, else its first user text, else its first text.
std::string dialogue_key(const Json& json, const Conversation& conversation) {
  if (const auto tree = tree_of(json)) return *tree;
  for (const Turn& turn : conversation.turns) {
    if (turn.from == "User") return turn.value;
  }
  return conversation.turns.front().value;
}

// A float as the shortest decimal that reads back as the same float.
Json real(float value) {
  char text[64];
  const std::to_chars_result end = std::to_chars(text, text + sizeof text - 1, value);
  *end.ptr = '\0';
  return std::strtod(text, nullptr);
}

}  // namespace

Record parse_record(Json object, const Attributes& attributes, std::string_view default_system, const std::string& file,
                    std::int64_t line, Labels labels, bool weights) {
  const std::string where = place(file, line);
  if (!object.is_object()) {
    fail(ExitCode::data, {.what = "a record that is not an object",
                          .where = where,
                          .found = kind_of(object),
                          .expected = "a JSON object"});
  }
  Record record{.json = std::move(object), .file = file, .line = line};
  const Json& json = record.json;
  Conversation& conversation = record.conversation;

  const Json* system = find_member(json, "system");
  conversation.system = system == nullptr ? std::string(default_system) : as_text(system, "'system'", where);
  const Json* mask = find_member(json, "mask");
  conversation.masked_roles = parse_mask(mask == nullptr ? "User" : as_text(mask, "'mask'", where), where);

  const Json& turns = as_array(find_member(json, "conversations"), "'conversations'", where);
  if (turns.empty())
    fail(ExitCode::data, {.what = "an empty conversation", .where = where, .expected = "one turn or more"});
  bool labelled = false;
  for (size_t i = 0; i < turns.size(); ++i) {
    conversation.turns.push_back(parse_turn(turns[i], i, attributes, labels, weights, where));
    labelled |= conversation.turns.back().label.has_value();
  }

  const Json* type = find_member(json, "type");
  conversation.type = type != nullptr ? parse_type(*type, where)
                      : labelled      ? ConversationType::value_to_text
                                      : ConversationType::none;
  record.dialogue = dialogue_key(json, conversation);
  if (labels == Labels::dropped) {
    conversation.type = ConversationType::none;
    for (Json& turn : record.json["conversations"]) {
      if (turn.contains("label")) turn["label"] = nullptr;
    }
  }
  return record;
}

Json to_json(const Conversation& conversation) {
  Json json = Json::object();
  json["system"] = conversation.system;
  json["mask"] = join(conversation.masked_roles, ",");
  switch (conversation.type) {
    case ConversationType::none:
      json["type"] = nullptr;
      break;
    case ConversationType::value_to_text:
      json["type"] = types[0];
      break;
    case ConversationType::text_to_value:
      json["type"] = types[1];
      break;
  }
  Json turns = Json::array();
  for (const Turn& turn : conversation.turns) {
    Json entry = Json::object();
    entry["from"] = turn.from;
    entry["value"] = turn.value;
    // A record with a label is VALUE_TO_TEXT where its type is null.
    entry["label"] = turn.label && conversation.type != ConversationType::none ? Json(turn.label->text) : Json(nullptr);
    if (turn.context_only) entry["weight"] = 0;
    turns.push_back(std::move(entry));
  }
  json["conversations"] = std::move(turns);
  return json;
}

std::string where(const Record& record) { return place(record.file, record.line); }

Json annotate(const Record& record, std::span<const TurnScores> scores, bool keep_human, const Attributes& attributes,
              std::int64_t* not_kept) {
  Json json = record.json;
  for (const TurnScores& scored : scores) {
    Json& turn = json.at("conversations").at(scored.turn);
    const Json human = human_label(turn, attributes);
    Label label = scored.label;
    if (keep_human && human.is_string()) {
      const std::string& text = human.get_ref<const std::string&>();
      const Label given = parse_label(attributes, text, where(record), LabelFaults::leave_out);
      for (size_t a = 0; a < given.values.size(); ++a) {
        if (!std::isnan(given.values[a])) {
          label.values.at(a) = given.values[a];
        } else if (not_kept != nullptr && ("," + text).find("," + attributes.names[a] + ":") != std::string::npos) {
          ++*not_kept;
        }
      }
      label = make_label(attributes, label.values);
    }
    Json named = Json::object();
    for (size_t a = 0; a < scored.scores.size(); ++a) {
      if (!std::isfinite(scored.scores[a])) {
        fail(ExitCode::model, {.what = "the predictor's score of '" + attributes.names.at(a) + "' is not finite",
                               .where = where(record) + ", turn " + std::to_string(scored.turn + 1),
                               .advice = "the weights or the precision are at fault, not the record"});
      }
      named[attributes.names.at(a)] = real(scored.scores[a]);
    }
    turn["label"] = label.text;
    turn["scores"] = std::move(named);
    if (!human.is_null()) turn["gt_label"] = human;
  }
  return json;
}

}  // namespace steerlm
