#include "data/json_access.h"

#include <cstdlib>

namespace steerlm {
namespace {

const Json& expect(const Json* value, bool right, const std::string& name, std::string_view expected,
                   const std::string& where) {
  if (value == nullptr)
    fail(ExitCode::data, {.what = name + " is missing", .where = where, .expected = std::string(expected)});
  if (!right) {
    fail(ExitCode::data, {.what = name + " has the wrong type",
                          .where = where,
                          .found = kind_of(*value),
                          .expected = std::string(expected)});
  }
  return *value;
}

}  // namespace

std::string kind_of(const Json& value) {
  switch (value.type()) {
    case Json::value_t::null:
      return "null";
    case Json::value_t::object:
      return "an object";
    case Json::value_t::array:
      return "an array";
    case Json::value_t::string:
      return "text";
    case Json::value_t::boolean:
      return value.get<bool>() ? "true" : "false";
    default:
      return "the number " + dump_json(value);
  }
}

const Json* find_member(const Json& object, std::string_view key) {
  const auto found = object.find(key);
  return found == object.end() || found->is_null() ? nullptr : &*found;
}

std::optional<double> number_of(const Json& value) {
  if (value.is_number()) return value.get<double>();
  const std::optional<std::string> text = written_number(value);
  return text ? std::optional<double>(std::strtod(text->c_str(), nullptr)) : std::nullopt;
}

std::optional<bool> truth_of(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  const std::optional<double> number = number_of(value);
  return number && (*number == 0 || *number == 1) ? std::optional<bool>(*number == 1) : std::nullopt;
}

const std::string& as_text(const Json* value, const std::string& name, const std::string& where) {
  return expect(value, value != nullptr && value->is_string(), name, "text", where).get_ref<const std::string&>();
}

const Json& as_array(const Json* value, const std::string& name, const std::string& where) {
  return expect(value, value != nullptr && value->is_array(), name, "an array", where);
}

const Json& as_object(const Json* value, const std::string& name, const std::string& where) {
  return expect(value, value != nullptr && value->is_object(), name, "an object", where);
}

}  // namespace steerlm
