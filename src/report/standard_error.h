#pragma once

#include <string_view>

namespace steerlm {

// All of it, past any buffer of the library. A closed standard error is no reason to stop a run.
void write_standard_error(std::string_view text);

}  // namespace steerlm
