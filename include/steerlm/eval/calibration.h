// Does a predictor mean what it says? Of the answers that get about the same score, what do people say on average?
#pragma once

#include <cstdint>
#include <map>

#include "steerlm/eval/moments.h"

namespace steerlm {

// The reliability curve of a predictor of ratings: pairs of a score and a label are put together where the score rounds
// to the same whole number (half to even). Pairs are added one by one; only sums are kept.
class Calibration {
 public:
  struct Bin {
    Moments scores, labels;  // of the same pairs
  };

  // Throws std::logic_error for a score or label that is not finite.
  void add(double score, double label);

  const std::map<double, Bin>& bins() const { return bins_; }  // by the rounded score, those that have a pair
  std::int64_t count() const { return count_; }

  // sum over the bins of (pairs of the bin / all pairs) x |mean score - mean label|. This is the expected calibration
  // error of Naeini et al. (2015, "Obtaining well calibrated probabilities using Bayesian binning", section
  // "Calibration measures") with the mean label of a bin in place of its share of positives: a binned estimate of the
  // mean of |E[label | score] - score|, so of calibration in the mean (Gneiting and Resin 2022). NaN without a pair.
  double expected_error() const;

 private:
  std::map<double, Bin> bins_;
  std::int64_t count_ = 0;
};

}  // namespace steerlm
