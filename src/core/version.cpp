#include "steerlm/core/version.h"

namespace steerlm {

std::string program_version() { return STEERLM_VERSION; }  // of CMakeLists.txt; known to this file alone

}  // namespace steerlm
