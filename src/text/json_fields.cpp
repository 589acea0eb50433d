#include "text/json_fields.h"

namespace steerlm {

JsonFields::JsonFields(const Json& json, std::string name, const std::string& where)
    : json_(json), name_(std::move(name)), where_(where) {
  if (!json.is_object()) fail(ExitCode::model, {.what = name_ + " is not a JSON object", .where = where_});
}

const Json* JsonFields::find(const char* key) {
  read_.insert(key);
  const auto value = json_.find(key);
  return value == json_.end() || value->is_null() ? nullptr : &*value;
}

const Json& JsonFields::require(const char* key) {
  const Json* value = find(key);
  if (!value) refuse("'" + std::string(key) + "' is missing");
  return *value;
}

std::string JsonFields::text(const char* key) {
  const Json& value = require(key);
  if (!value.is_string()) refuse("'" + std::string(key) + "' is no text");
  return value.get<std::string>();
}

std::string JsonFields::text_or(const char* key, std::string fallback) {
  return find(key) ? text(key) : std::move(fallback);
}

bool JsonFields::flag(const char* key, bool fallback) {
  const Json* value = find(key);
  if (!value) return fallback;
  if (!value->is_boolean()) refuse("'" + std::string(key) + "' is no truth value");
  return value->get<bool>();
}

std::int64_t JsonFields::integer(const char* key) {
  const Json& value = require(key);
  if (!value.is_number_integer() || (value.is_number_unsigned() && value.get<std::uint64_t>() > INT64_MAX)) {
    refuse("'" + std::string(key) + "' is no integer");
  }
  return value.get<std::int64_t>();
}

void JsonFields::ignore(std::initializer_list<const char*> keys) { read_.insert(keys.begin(), keys.end()); }

void JsonFields::end() const {
  for (const auto& [key, value] : json_.items()) {
    if (!read_.contains(key)) refuse("the key '" + key + "' is not supported");
  }
}

void JsonFields::refuse(std::string_view what) const {
  fail(ExitCode::model, {.what = name_ + ": " + std::string(what), .where = where_});
}

void JsonFields::refuse_value(const char* key) const {
  std::string value = dump_json(json_.at(key));
  if (value.size() > 200) value = value.substr(0, value.find_last_of(' ', 200)) + " …";
  fail(ExitCode::model,
       {.what = name_ + ": this value of '" + key + "' is not supported", .where = where_, .found = value});
}

}  // namespace steerlm
