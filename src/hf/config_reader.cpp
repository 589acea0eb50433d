#include "hf/config_reader.h"

#include <algorithm>
#include <cmath>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {

std::optional<std::int64_t> as_integer(const Json& value, std::int64_t max) {
  if (!value.is_number_integer()) return std::nullopt;
  if (value.is_number_unsigned() && value.get<std::uint64_t>() > static_cast<std::uint64_t>(max)) return std::nullopt;
  const auto number = value.get<std::int64_t>();
  return number >= 0 && number <= max ? std::optional(number) : std::nullopt;
}

std::string text_of(const Json& value) { return value.dump(-1, ' ', false, Json::error_handler_t::replace); }

void ConfigReader::refuse(std::string what, std::string found, std::string expected, std::string advice) const {
  fail(ExitCode::model, {.what = std::move(what),
                         .where = where_,
                         .found = std::move(found),
                         .expected = std::move(expected),
                         .advice = std::move(advice)});
}

const Json* ConfigReader::find(const char* key) const {
  const auto found = json_.find(key);
  return found == json_.end() || found->is_null() ? nullptr : &*found;
}

std::int64_t ConfigReader::integer(const char* key, std::int64_t max, std::optional<std::int64_t> otherwise) const {
  const Json* value = find(key);
  if (value == nullptr) {
    if (!otherwise) refuse(std::string("no key '") + key + "'");
    return *otherwise;
  }
  const auto number = as_integer(*value, max);
  if (!number || *number < 1)
    refuse(std::string("'") + key + "'", text_of(*value), "an integer from 1 to " + std::to_string(max));
  return *number;
}

double ConfigReader::positive(const char* key, std::optional<double> otherwise) const {
  const auto value = optional_number(key);
  if (!value && !otherwise) refuse(std::string("no key '") + key + "'");
  if (value && !(*value > 0)) refuse(std::string("'") + key + "'", text_of(*find(key)), "a number above 0");
  return value ? *value : *otherwise;
}

std::optional<double> ConfigReader::optional_number(const char* key) const {
  const Json* value = find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !std::isfinite(value->get<double>()))
    refuse(std::string("'") + key + "'", text_of(*value), "a number");
  return value->get<double>();
}

bool ConfigReader::boolean(const char* key, bool otherwise) const {
  const Json* value = find(key);
  if (value == nullptr) return otherwise;
  if (!value->is_boolean()) refuse(std::string("'") + key + "'", text_of(*value), "true or false");
  return value->get<bool>();
}

void ConfigReader::only(const char* key, const std::vector<Json>& implemented) const {
  const Json* value = find(key);
  if (value == nullptr || std::find(implemented.begin(), implemented.end(), *value) != implemented.end()) return;
  std::vector<std::string> choices;
  for (const Json& choice : implemented) choices.push_back(text_of(choice));
  choices.push_back("null");
  refuse(std::string("'") + key + "' is not implemented", text_of(*value), join(choices, " or "));
}

}  // namespace steerlm
