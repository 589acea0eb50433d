#include "data/json_access.h"

#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <utility>

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

std::optional<std::string> tree_of(const Json& record) {
  constexpr double exact = 9007199254740992;  // 2^53: above, a double may not be the integer that was written
  const Json* tree = find_member(record, "tree_id");
  if (tree == nullptr) return std::nullopt;
  if (tree->is_string()) return tree->get<std::string>();
  if (tree->is_number_integer()) return dump_json(*tree);
  const std::optional<double> number = number_of(*tree);
  if (!number || *number != std::floor(*number)) return std::nullopt;
  return std::abs(*number) < exact ? std::to_string(static_cast<std::int64_t>(*number)) : dump_json(*tree);
}

const std::string& as_text(const Json* value, const std::string& name, const std::string& where) {
  return expect(value, value != nullptr && value->is_string(), name, "text", where).get_ref<const std::string&>();
}

const Json& as_array(const Json* value, const std::string& name, const std::string& where) {
  return expect(value, value != nullptr && value->is_array(), name, "an array", where);
}

void refuse_list_in_text(const Json* value, const std::string& key, const std::string& where) {
  if (value == nullptr || !value->is_string()) return;
  const auto& text = value->get_ref<const std::string&>();
  const std::string_view start = std::string_view(text).substr(0, 2);
  if (start != "[{" && start != "['" && start != "[\"") return;
  Fault fault{.what = "'" + key + "' is a text that holds JSON", .where = where, .expected = "an array"};
  try {
    parse_json_as_written(text, where, ExitCode::data);
    fault.advice = "read it: jq -c '(." + key + " | strings) |= fromjson' FILE > NEW.jsonl";
  } catch (const Error&) {
    fault.what = "'" + key + "' is a text that holds a list in another notation than JSON";
    const auto has = [&](const char* part) { return text.find(part) != std::string::npos; };
    fault.advice =
        !has("}, {") && (has("}\n {") || has("} {"))
            ? "this is how NumPy prints an array; write the table's rows as JSON where they come from, with pandas "
              "to_json('NEW.jsonl', orient='records', lines=True, force_ascii=False)"
            : "if it is Python's, read it: python3 -c \"import ast, json, sys; [print(json.dumps({**r, '" + key +
                  "': ast.literal_eval(r['" + key +
                  "'] or '[]')})) for r in map(json.loads, sys.stdin)]\" < FILE > NEW.jsonl";
  }
  throw Error(ExitCode::data, std::move(fault));
}

const Json& as_object(const Json* value, const std::string& name, const std::string& where) {
  return expect(value, value != nullptr && value->is_object(), name, "an object", where);
}

std::optional<std::string> bare_tool_call(const Json& turn, std::string_view text) {
  if (text.find_first_not_of(" \t\r\n") != std::string_view::npos) return std::nullopt;
  for (const char* key : {"tool_calls", "function_call"}) {
    const Json* call = find_member(turn, key);
    if (call == nullptr || (call->is_structured() && call->empty()) || *call == "") continue;
    return key;
  }
  return std::nullopt;
}

void refuse_bare_tool_call(const Json& turn, std::string_view text, const std::string& where) {
  const std::optional<std::string> key = bare_tool_call(turn, text);
  if (!key) return;
  fail(ExitCode::data, {.what = "a turn that calls a tool ('" + *key + "') and has no text",
                        .where = where,
                        .advice = "take such conversations out"});
}

}  // namespace steerlm
