#include "steerlm/eval/correlation.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace steerlm {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

// Sums of squares and products around the means.
struct Moments {
  double xx = 0, xy = 0, yy = 0;
};

Moments moments(std::span<const double> x, std::span<const double> y) {
  const double mean_x = mean(x), mean_y = mean(y);
  Moments sums;
  for (size_t i = 0; i < x.size(); ++i) {
    sums.xx += (x[i] - mean_x) * (x[i] - mean_x);
    sums.xy += (x[i] - mean_x) * (y[i] - mean_y);
    sums.yy += (y[i] - mean_y) * (y[i] - mean_y);
  }
  return sums;
}

// A list of equal values has a sum of squares of rounding errors, not of 0.
bool varies(std::span<const double> values) {
  return std::any_of(values.begin(), values.end(), [&](double value) { return value != values.front(); });
}

}  // namespace

double mean(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

double squared_deviations(std::span<const double> values) {
  const double center = mean(values);
  double squares = 0;
  for (const double value : values) squares += (value - center) * (value - center);
  return squares;
}

double standard_deviation(std::span<const double> values) {
  if (values.size() < 2) return undefined;  // 0 / -1 would be a number
  return std::sqrt(squared_deviations(values) / (static_cast<double>(values.size()) - 1));
}

double pearson(std::span<const double> x, std::span<const double> y) {
  if (!varies(x) || !varies(y)) return undefined;
  const Moments sums = moments(x, y);
  return std::clamp(sums.xy / std::sqrt(sums.xx * sums.yy), -1.0, 1.0);
}

std::vector<double> average_ranks(std::span<const double> values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return values[a] < values[b]; });
  std::vector<double> ranks(values.size());
  for (size_t first = 0; first < order.size();) {
    size_t end = first + 1;
    while (end < order.size() && values[order[end]] == values[order[first]]) ++end;
    // Places first + 1 … end share their mean.
    for (size_t i = first; i < end; ++i) ranks[order[i]] = static_cast<double>(first + 1 + end) / 2;
    first = end;
  }
  return ranks;
}

double spearman(std::span<const double> x, std::span<const double> y) {
  return pearson(average_ranks(x), average_ranks(y));
}

double slope(std::span<const double> x, std::span<const double> y) {
  if (!varies(x)) return undefined;
  const Moments sums = moments(x, y);
  return sums.xy / sums.xx;
}

}  // namespace steerlm
