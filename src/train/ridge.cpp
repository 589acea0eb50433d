#include "steerlm/train/ridge.h"

#include <ATen/ops/from_blob.h>
#include <ATen/ops/full.h>
#include <ATen/ops/linalg_eigh.h>
#include <ATen/ops/mm.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <stdexcept>

namespace steerlm {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

// Sums over some rows. x and y are taken from a mean of all rows, so that little cancels where a mean of some is
// subtracted. c targets.
struct Moments {
  double n = 0;
  at::Tensor x_d, y_c;
  at::Tensor xx_dd, xy_dc;

  Moments(std::int64_t d, std::int64_t c)
      : x_d(at::zeros({d}, at::kDouble)),
        y_c(at::zeros({c}, at::kDouble)),
        xx_dd(at::zeros({d, d}, at::kDouble)),
        xy_dc(at::zeros({d, c}, at::kDouble)) {}

  void add(const at::Tensor& x_md, const at::Tensor& y_mc) {
    n += static_cast<double>(x_md.size(0));
    x_d.add_(x_md.sum(0));
    y_c.add_(y_mc.sum(0));
    xx_dd.addmm_(x_md.t(), x_md);
    xy_dc.addmm_(x_md.t(), y_mc);
  }
  void add(const Moments& other, double sign) {
    n += sign * other.n;
    x_d.add_(other.x_d, sign);
    y_c.add_(other.y_c, sign);
    xx_dd.add_(other.xx_dd, sign);
    xy_dc.add_(other.xy_dc, sign);
  }
};

// The solutions of the rows behind some moments for every penalty: with z^T z = V diag(e) V^T and g = V^T z^T y, the
// weights are V g / (e + penalty).
class Solver {
 public:
  explicit Solver(const Moments& moments)
      : mean_x_d_(moments.x_d.div(moments.n)), mean_y_c_(moments.y_c.div(moments.n)) {
    at::Tensor zz_dd = moments.xx_dd.clone();
    zz_dd.addr_(moments.x_d, mean_x_d_, 1, -1);
    at::Tensor zy_dc = moments.xy_dc.clone();
    zy_dc.addr_(moments.x_d, mean_y_c_, 1, -1);
    const at::Tensor variance_d = zz_dd.diagonal().clamp_min(0).div(moments.n);
    // What rounding leaves of a feature that does not vary: the squares' sum is off by n eps of the squares it is of.
    const at::Tensor noise_d =
        moments.xx_dd.diagonal().div(moments.n).mul(moments.n * std::numeric_limits<double>::epsilon());
    inverse_deviation_d_ = at::where(variance_d.gt(noise_d), variance_d.rsqrt(), at::zeros({}, at::kDouble));
    zz_dd.mul_(inverse_deviation_d_.unsqueeze(0)).mul_(inverse_deviation_d_.unsqueeze(1));
    zy_dc.mul_(inverse_deviation_d_.unsqueeze(1));
    std::tie(eigenvalues_d_, eigenvectors_dd_) = at::linalg_eigh(zz_dd);
    eigenvalues_d_.clamp_min_(0);
    projected_dc_ = at::mm(eigenvectors_dd_.t(), zy_dc);
  }

  // (d, c) and (c), for x and y taken from the mean of all rows.
  std::pair<at::Tensor, at::Tensor> solve(double penalty) const {
    const at::Tensor weight_dc = at::mm(eigenvectors_dd_, projected_dc_.div(eigenvalues_d_.add(penalty).unsqueeze(1)))
                                     .mul_(inverse_deviation_d_.unsqueeze(1));
    return {weight_dc, mean_y_c_.sub(at::mm(mean_x_d_.unsqueeze(0), weight_dc).squeeze(0))};
  }

 private:
  at::Tensor mean_x_d_, mean_y_c_, inverse_deviation_d_;
  at::Tensor eigenvalues_d_, eigenvectors_dd_, projected_dc_;
};

// Targets that are known in the same rows.
struct Group {
  std::vector<std::int64_t> targets;
  std::vector<std::vector<std::int64_t>> fold_rows;  // of each fold that has any
};

std::vector<Group> group_targets(const at::Tensor& targets_na, std::span<const std::int64_t> fold_n) {
  const at::Tensor contiguous_na = targets_na.contiguous();
  const double* values = contiguous_na.const_data_ptr<double>();
  const std::int64_t a = targets_na.size(1);
  std::map<std::vector<std::int64_t>, std::vector<std::int64_t>> by_rows;
  for (std::int64_t target = 0; target < a; ++target) {
    std::vector<std::int64_t> rows;
    for (std::int64_t row = 0; row < targets_na.size(0); ++row) {
      if (!std::isnan(values[row * a + target])) rows.push_back(row);
    }
    by_rows[std::move(rows)].push_back(target);
  }
  std::vector<Group> groups;
  for (const auto& [rows, targets] : by_rows) {
    std::map<std::int64_t, std::vector<std::int64_t>> folds;
    for (const std::int64_t row : rows) folds[fold_n[static_cast<size_t>(row)]].push_back(row);
    Group group{targets, {}};
    for (auto& [fold, fold_rows] : folds) group.fold_rows.push_back(std::move(fold_rows));
    groups.push_back(std::move(group));
  }
  return groups;
}

// Features and targets of some rows, fp64, `block_rows` rows at a time.
template <class Use>
void for_each_block(const at::Tensor& features_nd, const at::Tensor& targets_nc, const std::vector<std::int64_t>& rows,
                    std::int64_t block_rows, Use&& use) {
  const std::int64_t count = static_cast<std::int64_t>(rows.size());
  const at::Tensor index_m = at::from_blob(const_cast<std::int64_t*>(rows.data()), {count}, at::kLong);
  for (std::int64_t begin = 0; begin < count; begin += block_rows) {
    const at::Tensor block_m = index_m.slice(0, begin, std::min(begin + block_rows, count));
    use(features_nd.index_select(0, block_m).to(at::kDouble), targets_nc.index_select(0, block_m));
  }
}

std::vector<double> to_vector(const at::Tensor& tensor) {
  const at::Tensor contiguous = tensor.contiguous();
  const double* values = contiguous.const_data_ptr<double>();
  return {values, values + contiguous.numel()};
}

size_t best_penalty(const std::vector<double>& errors_p, std::span<const double> penalties) {
  size_t best = 0;
  for (size_t p = 1; p < errors_p.size(); ++p) {
    if (errors_p[p] < errors_p[best] || (errors_p[p] == errors_p[best] && penalties[p] > penalties[best])) best = p;
  }
  return best;
}

void fit_group(const at::Tensor& features_nd, const at::Tensor& targets_na, const Group& group,
               std::span<const double> penalties, std::int64_t block_rows, RidgeFit& fit) {
  const std::int64_t d = features_nd.size(1), c = static_cast<std::int64_t>(group.targets.size());
  at::Tensor index_c = at::zeros({c}, at::kLong);
  std::ranges::copy(group.targets, index_c.mutable_data_ptr<std::int64_t>());
  const at::Tensor targets_nc = targets_na.index_select(1, index_c);

  double rows = 0;
  at::Tensor mean_x_d = at::zeros({d}, at::kDouble), mean_y_c = at::zeros({c}, at::kDouble);
  for (const auto& fold : group.fold_rows) {
    rows += static_cast<double>(fold.size());
    for_each_block(features_nd, targets_nc, fold, block_rows, [&](const at::Tensor& x_md, const at::Tensor& y_mc) {
      mean_x_d.add_(x_md.sum(0));
      mean_y_c.add_(y_mc.sum(0));
    });
  }
  mean_x_d.div_(rows);
  mean_y_c.div_(rows);

  std::vector<Moments> folds;
  Moments all(d, c);
  for (const auto& fold : group.fold_rows) {
    Moments& moments = folds.emplace_back(d, c);
    for_each_block(features_nd, targets_nc, fold, block_rows, [&](const at::Tensor& x_md, const at::Tensor& y_mc) {
      moments.add(x_md.sub(mean_x_d), y_mc.sub(mean_y_c));
    });
    all.add(moments, 1);
  }

  at::Tensor weight_dc = at::zeros({d, c}, at::kDouble), bias_c = mean_y_c.clone();
  std::vector<RidgeTarget> solved(group.targets.size());
  for (size_t t = 0; t < solved.size(); ++t)
    solved[t] = {.rows = static_cast<std::int64_t>(rows), .mean = to_vector(mean_y_c)[t], .penalty = unknown};
  if (folds.size() > 1) {
    at::Tensor errors_pc = at::zeros({static_cast<std::int64_t>(penalties.size()), c}, at::kDouble);
    for (size_t f = 0; f < folds.size(); ++f) {
      Moments others = all;
      for (at::Tensor* sum : {&others.x_d, &others.y_c, &others.xx_dd, &others.xy_dc}) *sum = sum->clone();
      others.add(folds[f], -1);
      const Solver solver(others);
      for (size_t p = 0; p < penalties.size(); ++p) {
        const auto [weight, bias] = solver.solve(penalties[p]);
        for_each_block(features_nd, targets_nc, group.fold_rows[f], block_rows,
                       [&, &weight = weight, &bias = bias](const at::Tensor& x_md, const at::Tensor& y_mc) {
                         const at::Tensor error_mc =
                             at::mm(x_md.sub(mean_x_d), weight).add(bias).sub(y_mc.sub(mean_y_c));
                         errors_pc.select(0, static_cast<std::int64_t>(p)).add_(error_mc.square().sum(0));
                       });
      }
    }
    errors_pc.div_(rows);
    const Solver solver(all);
    for (size_t t = 0; t < solved.size(); ++t) {
      const auto column = static_cast<std::int64_t>(t);
      solved[t].errors_p = to_vector(errors_pc.select(1, column));
      solved[t].penalty = penalties[best_penalty(solved[t].errors_p, penalties)];
      const auto [weight, bias] = solver.solve(solved[t].penalty);
      weight_dc.select(1, column).copy_(weight.select(1, column));
      // w . (x - mean) + b = w . x + (b - w . mean)
      bias_c.select(0, column).add_(bias.select(0, column)).sub_(weight.select(1, column).dot(mean_x_d));
    }
  }
  for (size_t t = 0; t < solved.size(); ++t) {
    const std::int64_t target = group.targets[t], column = static_cast<std::int64_t>(t);
    fit.weight_ad.select(0, target).copy_(weight_dc.select(1, column));
    fit.bias_a.select(0, target).copy_(bias_c.select(0, column));
    fit.targets[static_cast<size_t>(target)] = std::move(solved[t]);
  }
}

}  // namespace

RidgeFit fit_ridge(const at::Tensor& features_nd, const at::Tensor& targets_na, std::span<const std::int64_t> fold_n,
                   std::span<const double> penalties, std::int64_t block_rows) {
  const std::int64_t d = features_nd.size(1), a = targets_na.size(1);
  if (features_nd.size(0) != targets_na.size(0) || static_cast<std::int64_t>(fold_n.size()) != targets_na.size(0) ||
      targets_na.scalar_type() != at::kDouble || penalties.empty() || block_rows < 1)
    throw std::logic_error("fit_ridge: features, targets, folds and penalties do not fit together");
  RidgeFit fit{at::zeros({a, d}, at::kDouble), at::full({a}, unknown, at::kDouble),
               std::vector<RidgeTarget>(static_cast<size_t>(a), {.mean = unknown, .penalty = unknown})};
  for (const Group& group : group_targets(targets_na, fold_n)) {
    if (!group.fold_rows.empty()) fit_group(features_nd, targets_na, group, penalties, block_rows, fit);
  }
  return fit;
}

}  // namespace steerlm
