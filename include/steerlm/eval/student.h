#pragma once

#include <span>

#include "steerlm/eval/intervals.h"

namespace steerlm {

// The 95 % interval of the mean of a few values that scatter normally (Student 1908): mean -+ t s / sqrt(n), n from 2
// to 30. NaN, NaN for a single value or where one is not finite.
Interval interval_of_mean(std::span<const double> values);

}  // namespace steerlm
