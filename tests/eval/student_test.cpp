#include "steerlm/eval/student.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <vector>

namespace steerlm {
namespace {

TEST(Student, IntervalOfAMeanIsScipys) {
  const std::vector<double> values{0.91, 0.88, 0.97, 0.93, 0.79};
  const Interval interval = interval_of_mean(values);
  EXPECT_NEAR(interval.low, 0.8119695231555009, 1e-9);  // scipy 1.17.1, stats.t.interval(0.95, 4, mean, sem)
  EXPECT_NEAR(interval.high, 0.9800304768444994, 1e-9);
}

TEST(Student, IsUndefinedForOneValueAndForNaN) {
  EXPECT_TRUE(std::isnan(interval_of_mean(std::vector<double>{1}).low));
  EXPECT_TRUE(std::isnan(interval_of_mean(std::vector<double>{1, std::numeric_limits<double>::quiet_NaN()}).high));
  EXPECT_DOUBLE_EQ(interval_of_mean(std::vector<double>{2, 2, 2}).low, 2);
}

}  // namespace
}  // namespace steerlm
