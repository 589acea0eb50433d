#include "steerlm/core/json_fields.h"

#include <algorithm>
#include <cmath>

namespace steerlm {
namespace {

std::string quoted(const char* key) { return std::string("'") + key + "'"; }

}  // namespace

std::optional<std::int64_t> as_integer(const Json& value, std::int64_t min, std::int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(INT64_MAX))
    return std::nullopt;
  const auto number = value.get<std::int64_t>();
  return number >= min && number <= max ? std::optional(number) : std::nullopt;
}

std::string shortened_json(const Json& value, size_t most) {
  std::string text = dump_json(value);
  if (text.size() <= most) return text;
  size_t cut = text.find_last_of(" ,", most);
  if (cut == std::string::npos) cut = most;
  while (cut > 0 && (static_cast<unsigned char>(text[cut]) & 0xC0) == 0x80) --cut;  // not inside a character
  return text.substr(0, cut) + " …";
}

void refuse_unknown_keys(const Json& json, const std::string& where, const std::string& what,
                         const std::function<bool(const std::string& key)>& known) {
  std::vector<Fault> faults;
  for (const auto& [key, value] : json.items()) {
    if (value.is_null() || known(key)) continue;
    faults.push_back({.what = "the key '" + key + "' is not known, and might change " + what,
                      .where = where,
                      .found = shortened_json(value),
                      .advice = "if it does not, take it out of the file"});
  }
  if (!faults.empty()) throw Error(ExitCode::model, std::move(faults));
}

JsonFields::JsonFields(const Json& json, std::string where, std::string name)
    : json_(json), where_(std::move(where)), name_(std::move(name)) {
  if (json.is_object()) return;
  fail(ExitCode::model, {.what = name_.empty() ? "not a JSON object" : name_ + " is not a JSON object",
                         .where = where_,
                         .found = shortened_json(json)});
}

const Json* JsonFields::find(const char* key) {
  if (std::ranges::find(known_, key) == known_.end()) known_.emplace_back(key);
  const auto value = json_.find(key);
  return value == json_.end() || value->is_null() ? nullptr : &*value;
}

const Json& JsonFields::require(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) refuse(quoted(key) + " is missing");
  return *value;
}

std::string JsonFields::text(const char* key, std::optional<std::string> otherwise) {
  if (otherwise && find(key) == nullptr) return *otherwise;
  std::string value;
  read(key, require(key), value);
  return value;
}

bool JsonFields::flag(const char* key, std::optional<bool> otherwise) {
  if (otherwise && find(key) == nullptr) return *otherwise;
  bool value = false;
  read(key, require(key), value);
  return value;
}

std::optional<bool> JsonFields::optional_flag(const char* key) {
  return find(key) == nullptr ? std::nullopt : std::optional(flag(key));
}

std::int64_t JsonFields::integer(const char* key, std::int64_t min, std::int64_t max,
                                 std::optional<std::int64_t> otherwise) {
  if (otherwise && find(key) == nullptr) return *otherwise;
  const Json& value = require(key);
  const auto number = as_integer(value, min, max);
  if (!number) refuse_value(key, value, "an integer from " + std::to_string(min) + " to " + std::to_string(max));
  return *number;
}

double JsonFields::positive(const char* key, std::optional<double> otherwise) {
  const std::optional<double> value = optional_number(key);
  if (!value && otherwise) return *otherwise;
  if (!value) refuse(quoted(key) + " is missing");
  if (!(*value > 0)) refuse_value(key, *find(key), "a number above 0");
  return *value;
}

std::optional<double> JsonFields::optional_number(const char* key) {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>())) refuse_value(key, *value, "a number");
  return value->get<double>();
}

void JsonFields::only(const char* key, const std::vector<Json>& implemented) {
  const Json* value = find(key);
  if (value == nullptr || std::ranges::find(implemented, *value) != implemented.end()) return;
  std::vector<std::string> choices;
  for (const Json& choice : implemented) choices.push_back(dump_json(choice));
  choices.emplace_back("null");
  refuse(quoted(key) + " is not implemented", shortened_json(*value), join(choices, " or "));
}

void JsonFields::ignore(std::initializer_list<const char*> keys) {
  known_.insert(known_.end(), keys.begin(), keys.end());
}

void JsonFields::end() const {
  for (const auto& [key, value] : json_.items()) {
    if (std::ranges::find(known_, key) == known_.end())
      refuse("the key '" + key + "' is not supported", "", join(known_), suggest(key, known_));
  }
}

void JsonFields::refuse(std::string_view what, std::string found, std::string expected, std::string advice) const {
  fail(ExitCode::model, {.what = name_.empty() ? std::string(what) : name_ + ": " + std::string(what),
                         .where = where_,
                         .found = std::move(found),
                         .expected = std::move(expected),
                         .advice = std::move(advice)});
}

void JsonFields::refuse_value(const char* key, const Json& found, std::string expected, std::string advice) const {
  refuse(quoted(key), shortened_json(found), std::move(expected), std::move(advice));
}

void JsonFields::refuse_value(const char* key) const {
  refuse("this value of " + quoted(key) + " is not supported", shortened_json(json_.at(key)));
}

void JsonFields::read(const char* key, const Json& entry, std::string& value) const {
  if (!entry.is_string()) refuse_value(key, entry, "a text");
  value = entry.get<std::string>();
}

void JsonFields::read(const char* key, const Json& entry, bool& value) const {
  if (!entry.is_boolean()) refuse_value(key, entry, "true or false");
  value = entry.get<bool>();
}

void JsonFields::read(const char* key, const Json& entry, std::int64_t& value) const {
  const auto number = as_integer(entry, INT64_MIN, INT64_MAX);
  if (!number) refuse_value(key, entry, "an integer");
  value = *number;
}

void JsonFields::read(const char* key, const Json& entry, std::vector<std::string>& value) const {
  if (!entry.is_array()) refuse_value(key, entry, "a list of texts");
  for (const Json& item : entry) read(key, item, value.emplace_back());
}

void JsonFields::read(const char* key, const Json& entry, std::map<std::string, std::int64_t>& value) const {
  if (!entry.is_object()) refuse_value(key, entry, "an object of integers");
  for (const auto& [name, number] : entry.items()) read(key, number, value[name]);
}

}  // namespace steerlm
