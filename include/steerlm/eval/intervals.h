// Bootstrap intervals (Efron 1979, percentile method).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace steerlm {

struct Interval {
  double low = 0;
  double high = 0;
};

// The middle 95 % of `statistic` over `resamples` drawings of `count` rows with replacement. The statistic gets the
// drawn row numbers, 0..count - 1; drawings where it is NaN are left out. NaN, NaN where none is left. A pure function
// of its arguments.
Interval bootstrap_interval(size_t count, const std::function<double(std::span<const size_t> rows)>& statistic,
                            std::uint64_t seed, int resamples = 1000);

}  // namespace steerlm
