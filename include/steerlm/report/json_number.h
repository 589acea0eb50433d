#pragma once

#include <cmath>

#include "steerlm/core/json.h"

namespace steerlm {

// A figure that is not defined is null: JSON has neither NaN nor infinity.
inline Json number_or_null(double value) { return std::isfinite(value) ? Json(value) : Json(nullptr); }

}  // namespace steerlm
