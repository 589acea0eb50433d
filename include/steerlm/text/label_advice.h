#pragma once

#include <string>
#include <string_view>

namespace steerlm {

// What to do about a label's value that is no integer; "" where nothing can be said.
std::string advice_for_label_value(std::string_view number);

}  // namespace steerlm
