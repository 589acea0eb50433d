// What a command line says by one of a few names.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/core/fields.h"
#include "steerlm/core/suggest.h"

namespace steerlm {

// The value that has the name. Throws recipe at `where`, which is the option: "unknown method", for a `what` of that
// word, with the names that there are.
template <class E>
E parse_choice(const std::string& name, const std::string& what, const std::string& where) {
  if (const std::optional<E> value = enum_value<E>(name)) return *value;
  const std::vector<std::string> choices = enum_choices<E>();
  fail(ExitCode::recipe, {.what = "unknown " + what,
                          .where = where,
                          .found = "'" + name + "'",
                          .expected = "one of " + join(choices),
                          .advice = suggest(name, choices)});
}

}  // namespace steerlm
