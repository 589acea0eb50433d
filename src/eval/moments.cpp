#include "steerlm/eval/moments.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace steerlm {

void Moments::add(double value) {
  ++count;
  sum += value;
  squares += value * value;
}

double Moments::mean() const { return sum / static_cast<double>(count); }  // 0 / 0 is NaN

double Moments::standard_deviation() const {
  if (count < 2) return std::numeric_limits<double>::quiet_NaN();
  const double n = static_cast<double>(count);
  return std::sqrt(std::max(0.0, (squares - sum * sum / n) / (n - 1)));
}

double Moments::half_width() const { return 1.96 * standard_deviation() / std::sqrt(static_cast<double>(count)); }

}  // namespace steerlm
