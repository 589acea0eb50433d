#include "steerlm/train/ridge.h"

#include <ATen/ops/empty.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/rng.h"
#include "support/tensor_operators.h"

namespace steerlm {
namespace {

constexpr double unknown = std::numeric_limits<double>::quiet_NaN();

at::Tensor matrix(const Json& rows) {
  const auto n = static_cast<std::int64_t>(rows.size()), width = static_cast<std::int64_t>(rows[0].size());
  at::Tensor tensor = at::empty({n, width}, at::kDouble);
  double* values = tensor.mutable_data_ptr<double>();
  for (const Json& row : rows) {
    for (const Json& value : row) *values++ = value.is_null() ? unknown : value.get<double>();
  }
  return tensor;
}

std::vector<double> column(const at::Tensor& tensor) {
  const at::Tensor whole = tensor.contiguous();
  return {whole.const_data_ptr<double>(), whole.const_data_ptr<double>() + whole.numel()};
}

// Features that predict a target with noise, for what the fixtures do not have.
struct Problem {
  at::Tensor features_nd, targets_na;
  std::vector<std::int64_t> fold_n;
};
Problem make_problem(std::int64_t rows, std::int64_t width, std::int64_t targets) {
  Problem problem{at::empty({rows, width}, at::kFloat), at::zeros({rows, targets}, at::kDouble), {}};
  Rng rng(3, "ridge", 0);
  const auto uniform = [&] { return 2 * rng.uniform() - 1; };
  float* features = problem.features_nd.mutable_data_ptr<float>();
  double* values = problem.targets_na.mutable_data_ptr<double>();
  for (std::int64_t row = 0; row < rows; ++row) {
    for (std::int64_t j = 0; j < width; ++j) {
      const float x = static_cast<float>(uniform() * (1 + 10 * static_cast<double>(j)) + 7);
      *features++ = x;
      for (std::int64_t t = 0; t < targets; ++t)
        values[row * targets + t] += static_cast<double>(x) * static_cast<double>((j + t) % 3 - 1);
    }
    for (std::int64_t t = 0; t < targets; ++t) values[row * targets + t] += 2 * uniform();
    problem.fold_n.push_back(row % 4);
  }
  return problem;
}

const std::vector<double> penalties{0.1, 1, 10, 100};

// Of tools/make_ridge_fixtures.py: columns known in other rows, collinear features, one that does not vary, features of
// scales from 1e-2 to 1e2 with offsets, and fewer rows than features.
TEST(RidgeTest, IsScikitLearnsRidge) {
  const std::string path = std::string(STEERLM_SOURCE_DIR) + "/tests/fixtures/ridge.json";
  const Json fixture = parse_json(read_file(path, ExitCode::data, "fixture"), path, ExitCode::data);
  for (const auto& [name, given] : fixture["cases"].items()) {
    SCOPED_TRACE(name);
    const at::Tensor features_nd = matrix(given["features"]), targets_na = matrix(given["targets"]);
    // What the fixture holds is exact in fp32, in which features are kept.
    const RidgeFit fit =
        fit_ridge(features_nd.to(at::kFloat), targets_na, given["folds"].get<std::vector<std::int64_t>>(),
                  given["penalties"].get<std::vector<double>>());
    ASSERT_EQ(fit.targets.size(), given["solved"].size());
    for (size_t t = 0; t < fit.targets.size(); ++t) {
      SCOPED_TRACE(t);
      const Json& solved = given["solved"][t];
      const RidgeTarget& target = fit.targets[t];
      EXPECT_EQ(target.rows, solved["rows"].get<std::int64_t>());
      EXPECT_EQ(target.penalty, solved["penalty"].get<double>());
      ASSERT_EQ(target.errors_p.size(), solved["errors"].size());
      for (size_t p = 0; p < target.errors_p.size(); ++p) {
        const double wanted = solved["errors"][p].get<double>();
        EXPECT_NEAR(target.errors_p[p], wanted, 1e-9 * wanted) << p;
      }
      const std::vector<double> weight = column(fit.weight_ad.select(0, static_cast<std::int64_t>(t)));
      ASSERT_EQ(weight.size(), solved["weight"].size());
      for (size_t j = 0; j < weight.size(); ++j) {
        const double wanted = solved["weight"][j].get<double>();
        EXPECT_NEAR(weight[j], wanted, 1e-8 * std::abs(wanted) + 1e-12) << j;
      }
      const double bias = solved["bias"].get<double>();
      EXPECT_NEAR(column(fit.bias_a)[t], bias, 1e-8 * std::abs(bias));
    }
  }
}

TEST(RidgeTest, TheSizeOfBlocksChangesNothing) {
  const Problem problem = make_problem(301, 5, 2);
  const RidgeFit whole = fit_ridge(problem.features_nd, problem.targets_na, problem.fold_n, penalties, 1000);
  for (const std::int64_t block_rows : {1, 7, 300}) {
    const RidgeFit blocks = fit_ridge(problem.features_nd, problem.targets_na, problem.fold_n, penalties, block_rows);
    EXPECT_LT((blocks.weight_ad - whole.weight_ad).abs().max().item<double>(), 1e-11) << block_rows;
    EXPECT_LT((blocks.bias_a - whole.bias_a).abs().max().item<double>(), 1e-10) << block_rows;
    for (size_t t = 0; t < 2; ++t) {
      EXPECT_EQ(blocks.targets[t].penalty, whole.targets[t].penalty);
      for (size_t p = 0; p < penalties.size(); ++p)
        EXPECT_NEAR(blocks.targets[t].errors_p[p], whole.targets[t].errors_p[p], 1e-10) << block_rows;
    }
  }
}

// A target is fitted over its own rows: what is unknown beside it is as if it were not there.
TEST(RidgeTest, MissingValuesAreLeftOut) {
  Problem problem = make_problem(80, 4, 2);
  for (std::int64_t row = 0; row < 80; row += 3) problem.targets_na[row][1] = unknown;
  const RidgeFit fit = fit_ridge(problem.features_nd, problem.targets_na, problem.fold_n, penalties);

  std::vector<at::Tensor> features, targets;
  std::vector<std::int64_t> folds;
  for (std::int64_t row = 0; row < 80; ++row) {
    if (row % 3 == 0) continue;
    features.push_back(problem.features_nd[row]);
    targets.push_back(problem.targets_na[row].slice(0, 1, 2));
    folds.push_back(problem.fold_n[static_cast<size_t>(row)]);
  }
  const RidgeFit known = fit_ridge(at::stack(features), at::stack(targets), folds, penalties);
  EXPECT_EQ(fit.targets[1].rows, static_cast<std::int64_t>(folds.size()));
  EXPECT_LT((fit.weight_ad[1] - known.weight_ad[0]).abs().max().item<double>(), 1e-13);
  EXPECT_NEAR(column(fit.bias_a)[1], column(known.bias_a)[0], 1e-12);
  EXPECT_EQ(fit.targets[1].penalty, known.targets[0].penalty);

  const Problem complete = make_problem(80, 4, 2);
  const RidgeFit all = fit_ridge(complete.features_nd, complete.targets_na, complete.fold_n, penalties);
  EXPECT_LT((fit.weight_ad[0] - all.weight_ad[0]).abs().max().item<double>(), 1e-13) << "the other target is as it was";
}

TEST(RidgeTest, WithoutAChoiceOfPenaltyTheMeanIsPredicted) {
  Problem problem = make_problem(40, 3, 4);
  for (std::int64_t row = 0; row < 40; ++row) {
    if (row != 5) problem.targets_na[row][1] = unknown;                                       // one row
    if (problem.fold_n[static_cast<size_t>(row)] != 2) problem.targets_na[row][2] = unknown;  // one fold
    problem.targets_na[row][3] = unknown;                                                     // none
  }
  const RidgeFit fit = fit_ridge(problem.features_nd, problem.targets_na, problem.fold_n, penalties);
  EXPECT_EQ(fit.targets[1].rows, 1);
  EXPECT_EQ(fit.targets[2].rows, 10);
  for (const std::int64_t target : {1, 2}) {
    EXPECT_TRUE(fit.targets[static_cast<size_t>(target)].errors_p.empty());
    EXPECT_TRUE(std::isnan(fit.targets[static_cast<size_t>(target)].penalty));
    EXPECT_EQ(fit.weight_ad[target].abs().max().item<double>(), 0);
  }
  EXPECT_EQ(column(fit.bias_a)[1], problem.targets_na[5][1].item<double>());
  double sum = 0;
  for (std::int64_t row = 2; row < 40; row += 4) sum += problem.targets_na[row][2].item<double>();
  EXPECT_NEAR(column(fit.bias_a)[2], sum / 10, 1e-12);
  EXPECT_EQ(fit.targets[3].rows, 0);
  EXPECT_TRUE(std::isnan(column(fit.bias_a)[3]));
  EXPECT_EQ(fit.weight_ad[3].abs().max().item<double>(), 0);
  EXPECT_FALSE(fit.targets[0].errors_p.empty());
}

// A target that is the same in all rows is predicted exactly by every penalty: of equal errors the largest penalty.
TEST(RidgeTest, OfEqualErrorsTheLargestPenalty) {
  Problem problem = make_problem(24, 3, 1);
  problem.targets_na.fill_(4);
  const std::vector<double> unordered{10, 1000, 1};
  const RidgeFit fit = fit_ridge(problem.features_nd, problem.targets_na, problem.fold_n, unordered);
  EXPECT_EQ(fit.targets[0].errors_p, (std::vector<double>{0, 0, 0}));
  EXPECT_EQ(fit.targets[0].penalty, 1000);
  EXPECT_EQ(fit.weight_ad.abs().max().item<double>(), 0);
  EXPECT_EQ(column(fit.bias_a)[0], 4);
}

TEST(RidgeTest, WhatDoesNotFitTogetherIsAMistakeOfTheProgram) {
  const Problem problem = make_problem(8, 2, 1);
  EXPECT_THROW(fit_ridge(problem.features_nd, problem.targets_na.slice(0, 1), problem.fold_n, penalties),
               std::logic_error);
  EXPECT_THROW(fit_ridge(problem.features_nd, problem.targets_na, problem.fold_n, {}), std::logic_error);
}

}  // namespace
}  // namespace steerlm
