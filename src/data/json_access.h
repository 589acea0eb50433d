// Members of an object from outside, with the messages that a user gets when they are not what they should be. All
// throw data.
#pragma once

#include <optional>
#include <string>
#include <string_view>

#include "steerlm/core/json.h"

namespace steerlm {

// "the number 3", "text", "an object" …
std::string kind_of(const Json& value);

// The member, or nullptr where it is missing or null, which is the same thing: exports of tables write null for what a
// row lacks.
const Json* find_member(const Json& object, std::string_view key);

// Of a number, also of one that is kept as its text.
std::optional<double> number_of(const Json& value);

// Of a boolean, and of the numbers 0 and 1.
std::optional<bool> truth_of(const Json& value);

// The record's `tree_id`: a text, or the digits of an integer, which exports of tables write as 1.0 where another row
// has none. Nothing for any other value.
std::optional<std::string> tree_of(const Json& record);

// `name` is what the message calls it ("turn 2: 'value'").
const std::string& as_text(const Json* value, const std::string& name, const std::string& where);
const Json& as_array(const Json* value, const std::string& name, const std::string& where);
// Throws data for a list that was written as a text, as a cell of a table has it: JSON, or what Python prints. `key` is
// one of the line's.
void refuse_list_in_text(const Json* value, const std::string& key, const std::string& where);
const Json& as_object(const Json* value, const std::string& name, const std::string& where);

// Of a turn that calls a tool (OpenAI's `tool_calls`, before that `function_call`) and whose text is blank, the key
// that says so.
std::optional<std::string> bare_tool_call(const Json& turn, std::string_view text);

// Throws data for such a turn: trained, it would teach to say nothing.
void refuse_bare_tool_call(const Json& turn, std::string_view text, const std::string& where);

}  // namespace steerlm
