#include "steerlm/eval/intervals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "steerlm/core/rng.h"

namespace steerlm {

double quantile(std::span<const double> sorted, double q) {
  const double place = q * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return std::lerp(sorted[below], sorted[above], place - std::floor(place));
}

Interval bootstrap_interval(size_t count, const std::function<double(std::span<const size_t>)>& statistic,
                            std::uint64_t seed, int resamples) {
  std::vector<double> results;
  std::vector<size_t> rows(count);
  for (int i = 0; i < resamples && count > 0; ++i) {
    Rng rng(seed, "bootstrap", static_cast<std::uint64_t>(i));
    for (size_t& row : rows) row = static_cast<size_t>(rng.below(count));
    if (const double value = statistic(rows); !std::isnan(value)) results.push_back(value);
  }
  if (results.empty()) return {std::numeric_limits<double>::quiet_NaN(), std::numeric_limits<double>::quiet_NaN()};
  std::sort(results.begin(), results.end());
  return {quantile(results, 0.025), quantile(results, 0.975)};
}

Interval bootstrap_interval_of_mean(std::span<const double> values, std::uint64_t seed, int resamples) {
  const auto mean_of_rows = [&](std::span<const size_t> rows) {
    double sum = 0;
    for (const size_t row : rows) sum += values[row];
    return sum / static_cast<double>(rows.size());
  };
  return bootstrap_interval(values.size(), mean_of_rows, seed, resamples);
}

}  // namespace steerlm
