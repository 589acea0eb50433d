// Does a predictor mean what it says? Of the answers that it gives about the same score, how much do people give?
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace steerlm {

// The entries whose score rounds to `level` (half to even, clamped to the range, as a label is).
struct CalibrationBin {
  int level = 0;
  std::int64_t count = 0;
  double score = 0;  // mean; NaN where the bin is empty
  double label = 0;  // mean
};

struct Calibration {
  std::vector<CalibrationBin> bins;  // min … max
  // Sum over the bins of their share of the entries times |mean score - mean label| (Guo et al. 2017, for a scale
  // instead of a probability); NaN without an entry.
  double expected_error = 0;
};

// `labels`: NaN unknown, such entries are left out.
Calibration calibration(int min, int max, std::span<const double> scores, std::span<const float> labels);

}  // namespace steerlm
