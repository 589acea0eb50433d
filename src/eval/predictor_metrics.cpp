#include "steerlm/eval/predictor_metrics.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <stdexcept>

#include "steerlm/eval/correlation.h"

namespace steerlm {
namespace {

// kappa = 1 - sum w_ij O_ij / sum w_ij E_ij with w_ij = (i - j)^2 and E the product of the margins: with quadratic
// weights both sums are moments, and no matrix is needed. The constant factor of w cancels.
double quadratic_kappa(std::span<const double> x, std::span<const double> y) {
  const double n = static_cast<double>(x.size());
  double observed = 0, sum_x = 0, sum_y = 0, squares = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    observed += (x[i] - y[i]) * (x[i] - y[i]);
    sum_x += x[i];
    sum_y += y[i];
    squares += x[i] * x[i] + y[i] * y[i];
  }
  const double expected = squares - 2 * sum_x * sum_y / n;
  return expected > 0 ? 1 - observed / expected : std::numeric_limits<double>::quiet_NaN();
}

AttributeMetrics column_metrics(std::span<const double> scores, std::span<const double> labels, double min, double max,
                                double baseline) {
  std::vector<double> rounded;
  AttributeMetrics metrics;
  for (size_t i = 0; i < scores.size(); ++i) {
    rounded.push_back(std::clamp(std::nearbyint(scores[i]), min, max));
    const double error = scores[i] - labels[i], baseline_error = baseline - labels[i];
    metrics.mae += std::abs(error);
    metrics.rmse += error * error;
    metrics.exact += rounded[i] == labels[i] ? 1 : 0;
    metrics.within_one += std::abs(rounded[i] - labels[i]) <= 1 ? 1 : 0;
    metrics.mean_mae += std::abs(baseline_error);
    metrics.mean_rmse += baseline_error * baseline_error;
  }
  const double n = static_cast<double>(scores.size());  // 0 / 0 is NaN: not defined
  metrics.count = static_cast<std::int64_t>(scores.size());
  metrics.mae /= n;
  metrics.rmse = std::sqrt(metrics.rmse / n);
  metrics.exact /= n;
  metrics.within_one /= n;
  metrics.mean_mae /= n;
  metrics.mean_rmse = std::sqrt(metrics.mean_rmse / n);
  metrics.pearson = pearson(scores, labels);
  metrics.spearman = spearman(scores, labels);
  metrics.kappa = quadratic_kappa(rounded, labels);
  return metrics;
}

}  // namespace

std::vector<AttributeMetrics> predictor_metrics(std::span<const std::string> names, int min, int max,
                                                std::span<const double> scores, std::span<const float> labels,
                                                std::span<const double> baseline) {
  if (baseline.size() != names.size()) throw std::logic_error("a baseline of other attributes");
  std::vector<AttributeMetrics> all;
  for (size_t a = 0; a < names.size(); ++a) {
    std::vector<double> column, known;
    for (size_t i = a; i < labels.size(); i += names.size()) {
      if (std::isnan(labels[i])) continue;
      column.push_back(scores[i]);
      known.push_back(static_cast<double>(labels[i]));
    }
    all.push_back(column_metrics(column, known, min, max, baseline[a]));
    all.back().name = names[a];
  }
  return all;
}

std::vector<double> label_means(size_t attributes, std::span<const float> labels) {
  std::vector<double> sums(attributes), counts(attributes);
  for (size_t i = 0; i < labels.size(); ++i) {
    if (std::isnan(labels[i])) continue;
    sums[i % attributes] += static_cast<double>(labels[i]);
    counts[i % attributes] += 1;
  }
  for (size_t a = 0; a < attributes; ++a) sums[a] /= counts[a];
  return sums;
}

}  // namespace steerlm
