// Quantiles, and bootstrap intervals (Efron 1979, percentile method).
#pragma once

#include <cstdint>
#include <functional>
#include <span>

namespace steerlm {

struct Interval {
  double low = 0;
  double high = 0;
};

// The value a share `q` (0..1) of the way through the sorted values, of which there is at least one; between two
// neighbours linearly (type 7 of Hyndman and Fan 1996).
double quantile(std::span<const double> sorted, double q);

// The middle 95 % of `statistic` over `resamples` drawings of `count` rows with replacement. The statistic gets the
// drawn row numbers, 0..count - 1; drawings where it is NaN are left out. NaN, NaN where none is left. A pure function
// of its arguments.
Interval bootstrap_interval(size_t count, const std::function<double(std::span<const size_t> rows)>& statistic,
                            std::uint64_t seed, int resamples = 1000);
// The same of the mean of the values.
Interval bootstrap_interval_of_mean(std::span<const double> values, std::uint64_t seed, int resamples = 1000);

}  // namespace steerlm
