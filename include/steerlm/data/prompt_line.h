// What a line asks that has `prompt` (a text) or `turns` (texts of user and assistant in turn, the first and the last
// are the user's).
#pragma once

#include <string>

#include "steerlm/core/json.h"

namespace steerlm {

// Whether `turns` hold. What `evaluate` writes has both: then `prompt` is the last text of `turns`. Beside another one
// `turns` is a key like any other.
bool has_turns(const Json& object);

// [{"from", "value", "label": null}] of `turns` where they hold or no `prompt` is there, else of `prompt`. Throws data
// for what is no text, and for turns that end with the assistant.
Json turns_of_prompt(const Json& object, const std::string& where);

}  // namespace steerlm
