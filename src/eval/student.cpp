#include "steerlm/eval/student.h"

#include <array>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "steerlm/eval/correlation.h"

namespace steerlm {
namespace {

// The 97.5 % quantile of Student's t for 1 … 29 degrees of freedom (scipy 1.17.1, scipy.stats.t.ppf).
constexpr std::array<double, 29> t_quantiles{
    12.7062047362, 4.3026527297, 3.1824463053, 2.7764451052, 2.5705818356, 2.4469118511, 2.3646242516, 2.3060041352,
    2.2621571628,  2.2281388520, 2.2009851601, 2.1788128297, 2.1603686565, 2.1447866879, 2.1314495456, 2.1199052992,
    2.1098155778,  2.1009220402, 2.0930240544, 2.0859634473, 2.0796138447, 2.0738730679, 2.0686576104, 2.0638985616,
    2.0595385528,  2.0555294386, 2.0518305165, 2.0484071418, 2.0452296421};

}  // namespace

Interval interval_of_mean(std::span<const double> values) {
  constexpr double nan = std::numeric_limits<double>::quiet_NaN();
  if (values.size() > t_quantiles.size() + 1) throw std::logic_error("interval_of_mean: more than 30 values");
  if (values.size() < 2) return {nan, nan};
  const double n = static_cast<double>(values.size()), centre = mean(values);
  const double half = t_quantiles[values.size() - 2] * std::sqrt(squared_deviations(values) / (n - 1) / n);
  return std::isfinite(half) ? Interval{centre - half, centre + half} : Interval{nan, nan};
}

}  // namespace steerlm
