// Mean and standard deviation, Pearson's and Spearman's correlation, and the least-squares slope. The last three take
// two lists of equal length and give NaN where the figure is not defined: fewer than two points, or a list that does
// not vary.
#pragma once

#include <span>
#include <vector>

namespace steerlm {

double mean(std::span<const double> values);                // NaN of none
double squared_deviations(std::span<const double> values);  // sum (x - mean)^2
// Of a sample: root of sum (x - mean)^2 / (n - 1); NaN of fewer than two.
double standard_deviation(std::span<const double> values);

double pearson(std::span<const double> x, std::span<const double> y);

// Pearson's correlation of the ranks; equal values share their mean rank (Kendall 1945).
double spearman(std::span<const double> x, std::span<const double> y);

// From 1; equal values get the mean of the ranks that they take up.
std::vector<double> average_ranks(std::span<const double> values);

// b of the line y = a + b x with the smallest sum of squares.
double slope(std::span<const double> x, std::span<const double> y);

}  // namespace steerlm
