// How well an attribute predictor agrees with labels, one row an attribute.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

namespace steerlm {

// Over the entries whose label is known. A figure that is not defined (no entry, a list that does not vary) is NaN.
// "Rounded" is half to even, then clamped to the range, as a predicted label is.
struct AttributeMetrics {
  std::string name;
  std::int64_t count = 0;
  double mae = 0;   // mean |score - label|
  double rmse = 0;  // root of the mean (score - label)^2
  double pearson = 0;
  double spearman = 0;
  double exact = 0;       // share of rounded scores that equal the label
  double within_one = 0;  // share of rounded scores at most 1 away
  double kappa = 0;       // Cohen's kappa of the rounded scores with quadratic weights (Cohen 1968)
  double mean_mae = 0;    // of the baseline, which says the same mean for everything
  double mean_rmse = 0;
};

// `scores`: raw, (n, a) row-major; `labels`: (n, a), NaN unknown, known ones whole numbers in min..max. `baseline`:
// what the baseline says for each attribute, as a rule label_means() of the training labels; NaN: its figures are not
// defined.
std::vector<AttributeMetrics> predictor_metrics(std::span<const std::string> names, int min, int max,
                                                std::span<const double> scores, std::span<const float> labels,
                                                std::span<const double> baseline);

// The mean known label of each of `attributes` columns, NaN where none is known.
std::vector<double> label_means(size_t attributes, std::span<const float> labels);

}  // namespace steerlm
