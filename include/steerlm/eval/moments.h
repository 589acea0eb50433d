#pragma once

#include <cstdint>

namespace steerlm {

// Count, mean and the 95 % interval of the mean under a normal approximation: mean ± 1.96 s / sqrt(count), s the
// standard deviation with count - 1.
struct Moments {
  std::int64_t count = 0;
  double sum = 0, squares = 0;

  void add(double value);
  double mean() const;                // NaN without a value
  double standard_deviation() const;  // with count - 1; NaN below two values
  double half_width() const;          // of the interval; NaN below two values
};

}  // namespace steerlm
