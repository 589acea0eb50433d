// How tables and JSON write an interval.
#pragma once

#include <cmath>
#include <string>

#include "steerlm/eval/intervals.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"

namespace steerlm {

// [low, high], null where they are not defined.
inline Json interval_json(const Interval& interval) {
  return {number_or_null(interval.low), number_or_null(interval.high)};
}

// "0.52 to 0.61"
inline std::string interval_text(const Interval& interval, int decimals) {
  return format_number(interval.low, decimals) + " to " + format_number(interval.high, decimals);
}
// The same; a dash where the interval is not defined.
inline std::string interval_or_dash(const Interval& interval, int decimals) {
  return std::isnan(interval.low) ? "–" : interval_text(interval, decimals);
}

}  // namespace steerlm
