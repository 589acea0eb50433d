#include "steerlm/eval/calibration.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace steerlm {

Calibration calibration(int min, int max, std::span<const double> scores, std::span<const float> labels) {
  Calibration result;
  for (int level = min; level <= max; ++level) result.bins.push_back({.level = level});
  std::int64_t known = 0;
  for (size_t i = 0; i < scores.size(); ++i) {
    if (std::isnan(labels[i])) continue;
    const double rounded = std::clamp<double>(std::nearbyint(scores[i]), min, max);
    CalibrationBin& bin = result.bins[static_cast<size_t>(rounded - min)];
    ++bin.count;
    bin.score += scores[i];
    bin.label += static_cast<double>(labels[i]);
    ++known;
  }
  result.expected_error = known > 0 ? 0 : std::numeric_limits<double>::quiet_NaN();
  for (CalibrationBin& bin : result.bins) {
    const auto count = static_cast<double>(bin.count);
    if (bin.count > 0) result.expected_error += std::abs(bin.score - bin.label) / static_cast<double>(known);
    bin.score /= count;  // NaN where it is empty
    bin.label /= count;
  }
  return result;
}

}  // namespace steerlm
