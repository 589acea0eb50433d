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

// `name` is what the message calls it ("turn 2: 'value'").
const std::string& as_text(const Json* value, const std::string& name, const std::string& where);
const Json& as_array(const Json* value, const std::string& name, const std::string& where);
const Json& as_object(const Json* value, const std::string& name, const std::string& where);

}  // namespace steerlm
