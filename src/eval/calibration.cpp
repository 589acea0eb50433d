#include "steerlm/eval/calibration.h"

#include <cmath>
#include <stdexcept>

namespace steerlm {

void Calibration::add(double score, double label) {
  if (!std::isfinite(score) || !std::isfinite(label)) throw std::logic_error("calibration of what is not finite");
  Bin& bin = bins_[std::nearbyint(score) + 0.0];  // + 0.0: -0 is 0
  bin.scores.add(score);
  bin.labels.add(label);
  ++count_;
}

double Calibration::expected_error() const {
  double sum = 0;
  for (const auto& [rounded, bin] : bins_) sum += std::abs(bin.scores.sum - bin.labels.sum);
  return sum / static_cast<double>(count_);  // 0 / 0 is NaN
}

}  // namespace steerlm
