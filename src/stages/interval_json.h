#pragma once

#include "steerlm/eval/intervals.h"
#include "steerlm/report/json_number.h"

namespace steerlm {

// [low, high], null where they are not defined.
inline Json interval_json(const Interval& interval) {
  return {number_or_null(interval.low), number_or_null(interval.high)};
}

}  // namespace steerlm
