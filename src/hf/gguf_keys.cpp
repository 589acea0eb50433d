#include "hf/gguf_keys.h"

#include <fmt/format.h>

#include <charconv>
#include <cmath>
#include <limits>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

// What a value is, for messages; texts are cut.
std::string describe(const GgufValue& value) {
  const auto list = [](std::uint64_t count) { return fmt::format("an array of {} elements", count); };
  if (const auto* number = std::get_if<std::uint64_t>(&value)) return std::to_string(*number);
  if (const auto* number = std::get_if<std::int64_t>(&value)) return std::to_string(*number);
  if (const auto* number = std::get_if<float>(&value)) return fmt::format("{}", *number);
  if (const auto* number = std::get_if<double>(&value)) return fmt::format("{}", *number);
  if (const auto* flag = std::get_if<bool>(&value)) return *flag ? "true" : "false";
  if (const auto* text = std::get_if<std::string>(&value))
    return text->size() > 100 ? fmt::format("a text of {} bytes", text->size()) : "'" + *text + "'";
  if (const auto* texts = std::get_if<std::vector<std::string>>(&value)) return list(texts->size());
  if (const auto* integers = std::get_if<std::vector<std::int32_t>>(&value)) return list(integers->size());
  if (const auto* numbers = std::get_if<std::vector<float>>(&value)) return list(numbers->size());
  return list(std::get<GgufSkippedArray>(value).count);
}

std::optional<std::int64_t> as_integer(const GgufValue& value) {
  if (const auto* number = std::get_if<std::int64_t>(&value)) return *number;
  const auto* number = std::get_if<std::uint64_t>(&value);
  if (number == nullptr || *number > std::numeric_limits<std::int64_t>::max()) return std::nullopt;
  return static_cast<std::int64_t>(*number);
}

// The shortest decimal that is this fp32 number.
double shortest(float value) {
  if (!std::isfinite(value)) return static_cast<double>(value);
  char text[32];
  const auto written = std::to_chars(text, text + sizeof text, value);
  double result = 0;
  std::from_chars(text, written.ptr, result);
  return result;
}

}  // namespace

const GgufValue* GgufKeys::use(const std::string& key) {
  used_.insert(key);
  return file_.find_value(key);
}

void GgufKeys::refuse(const std::string& key, const std::string& what, std::string found, std::string expected,
                      std::string advice) const {
  fail(ExitCode::model, {.what = "the key '" + key + "' " + what,
                         .where = where(),
                         .found = std::move(found),
                         .expected = std::move(expected),
                         .advice = std::move(advice)});
}

std::optional<std::string> GgufKeys::optional_text(const std::string& key) {
  const GgufValue* value = use(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* text = std::get_if<std::string>(value)) return *text;
  refuse(key, "is no text", describe(*value));
}

std::string GgufKeys::text(const std::string& key) {
  if (auto value = optional_text(key)) return *value;
  refuse(key, "is missing");
}

std::optional<std::int64_t> GgufKeys::optional_integer(const std::string& key, std::int64_t min, std::int64_t max) {
  const GgufValue* value = use(key);
  if (value == nullptr) return std::nullopt;
  const auto number = as_integer(*value);
  if (number && *number >= min && *number <= max) return number;
  refuse(key, "is not as expected", describe(*value), fmt::format("an integer from {} to {}", min, max));
}

std::int64_t GgufKeys::integer(const std::string& key, std::int64_t min, std::int64_t max,
                               std::optional<std::int64_t> otherwise) {
  if (const auto number = optional_integer(key, min, max)) return *number;
  if (otherwise) return *otherwise;
  refuse(key, "is missing", "", "an integer");
}

std::optional<double> GgufKeys::optional_number(const std::string& key) {
  const GgufValue* value = use(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* number = std::get_if<float>(value)) return shortest(*number);
  if (const auto* number = std::get_if<double>(value)) return *number;
  if (const auto* yes = std::get_if<bool>(value)) return *yes ? 1 : 0;
  if (const auto number = as_integer(*value)) return static_cast<double>(*number);
  return std::numeric_limits<double>::quiet_NaN();
}

double GgufKeys::positive(const std::string& key, std::optional<double> otherwise) {
  const auto number = optional_number(key);
  if (!number && otherwise) return *otherwise;
  if (!number) refuse(key, "is missing", "", "a number");
  if (!std::isfinite(*number) || *number <= 0)
    refuse(key, "is not as expected", describe(*file_.find_value(key)), "a number above 0");
  return *number;
}

std::optional<bool> GgufKeys::flag(const std::string& key) {
  const GgufValue* value = use(key);
  if (value == nullptr) return std::nullopt;
  if (const auto* yes = std::get_if<bool>(value)) return *yes;
  refuse(key, "is not as expected", describe(*value), "true or false");
}

template <class T>
const T& GgufKeys::array(const std::string& key, const char* elements) {
  const GgufValue* value = use(key);
  if (value == nullptr) refuse(key, "is missing", "", std::string("an array of ") + elements);
  if (const auto* list = std::get_if<T>(value)) return *list;
  refuse(key, "is not as expected", describe(*value), std::string("an array of ") + elements);
}

const std::vector<std::string>& GgufKeys::texts(const std::string& key) {
  return array<std::vector<std::string>>(key, "texts");
}
const std::vector<std::int32_t>& GgufKeys::integers(const std::string& key) {
  return array<std::vector<std::int32_t>>(key, "32-bit integers");
}
const std::vector<float>& GgufKeys::numbers(const std::string& key) {
  return array<std::vector<float>>(key, "32-bit numbers");
}

void GgufKeys::only(const std::string& key, double implemented) {
  const auto number = optional_number(key);
  if (!number || *number == implemented) return;
  const GgufValue& value = *file_.find_value(key);
  const std::string expected =
      std::holds_alternative<bool>(value) ? describe(GgufValue(implemented != 0)) : fmt::format("{}", implemented);
  refuse(key, "changes what the model computes, and this is not implemented", describe(value),
         expected + ", or no such key");
}

std::vector<std::string> GgufKeys::unused() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : file_.values()) {
    if (!used_.contains(key)) keys.push_back(key);
  }
  return keys;
}

}  // namespace steerlm
