// Ridge regression (Hoerl and Kennard 1970) of many targets on the same features, in closed form and fp64: how a head
// is solved on a frozen model, as ArmoRM does for its attributes (Wang et al. 2024, arXiv 2406.12845, section 3.1).
// n rows, d features, a targets, p penalties.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <span>
#include <vector>

namespace steerlm {

// How one target was solved.
struct RidgeTarget {
  std::int64_t rows = 0;  // with a known value
  double mean = 0;        // of the known values; NaN: there is none
  // Mean squared error of the held-out rows, one a penalty; empty where the known values are all in one fold, so that
  // no penalty can be chosen: the target is then predicted by its mean.
  std::vector<double> errors_p;
  double penalty = 0;  // the one with the smallest error, of equal ones the largest; NaN: predicted by its mean
};

struct RidgeFit {
  at::Tensor weight_ad;  // fp64, for features as they are
  at::Tensor bias_a;     // fp64
  std::vector<RidgeTarget> targets;
};

// For each target, over the rows where it is known, the minimum of
//   sum_n (y_n - b - w . z_n)^2 + penalty |w|^2,   z = (x - mean) / standard deviation of these rows (with 1/n),
// so that scale and offset of a feature do not matter and b is not penalised; a feature that does not vary gets
// weight 0. The penalty is chosen by the squared error of held-out rows: each fold is held out once, and means,
// deviations and weights are those of the other rows. Afterwards all rows are fitted with it. This is scikit-learn's
// make_pipeline(StandardScaler(), Ridge(alpha=penalty)).
//
// features_nd: fp32 or fp64, on the CPU, finite; targets_na: fp64, NaN unknown; fold_n: a number of a fold from 0 for
// each row; penalties: above 0. Rows are taken `block_rows` at a time: beside the features it needs (folds + 4) d x d
// numbers, whatever n is. One eigendecomposition of the d x d matrix z^T z a fold serves all penalties and all targets
// that are known in the same rows. A target without a known value has weight 0 and bias NaN.
RidgeFit fit_ridge(const at::Tensor& features_nd, const at::Tensor& targets_na, std::span<const std::int64_t> fold_n,
                   std::span<const double> penalties, std::int64_t block_rows = 4096);

}  // namespace steerlm
