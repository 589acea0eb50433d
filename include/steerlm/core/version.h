#pragma once

#include <string>

namespace steerlm {

std::string program_version();  // "0.2.0"

}  // namespace steerlm
