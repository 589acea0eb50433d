#include "steerlm/eval/predictor_metrics.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

namespace steerlm {
namespace {

const float unknown = std::numeric_limits<float>::quiet_NaN();
const std::vector<std::string> one_name{"quality"};
const std::vector<double> zero{0};  // a baseline that nothing is asked of
const std::vector<double> scores{0.2, 1.5, 2.5, 3.7, 4.6, -0.8, 2.2, 3.1, 0.9, 1.1};
const std::vector<float> labels{0, 1, 2, 4, 4, 0, 3, 1, 1, 2};

// Expected values: numpy, scipy 1.17.1 (pearsonr, spearmanr), scikit-learn 1.9.1 (cohen_kappa_score,
// weights="quadratic", of the scores after np.rint and np.clip).
TEST(PredictorMetrics, EqualsScipyAndScikitLearn) {
  const AttributeMetrics metrics = predictor_metrics(one_name, 0, 4, scores, labels, label_means(1, labels)).at(0);
  EXPECT_EQ(metrics.name, "quality");
  EXPECT_EQ(metrics.count, 10);
  EXPECT_NEAR(metrics.mae, 0.68, 1e-12);
  EXPECT_NEAR(metrics.rmse, 0.8660254037844386, 1e-12);
  EXPECT_NEAR(metrics.pearson, 0.8368124652757128, 1e-12);
  EXPECT_NEAR(metrics.spearman, 0.8175294675910751, 1e-12);
  EXPECT_NEAR(metrics.exact, 0.6, 1e-12);
  EXPECT_NEAR(metrics.within_one, 0.9, 1e-12);
  EXPECT_NEAR(metrics.kappa, 0.8186528497409327, 1e-12);
  EXPECT_NEAR(metrics.mean_mae, 1.2, 1e-12);
  EXPECT_NEAR(metrics.mean_rmse, 1.4, 1e-12);
}

TEST(PredictorMetrics, TheBaselineCanComeFromTheTrainingLabels) {
  const std::vector<double> baseline{2.5};
  const AttributeMetrics metrics = predictor_metrics(one_name, 0, 4, scores, labels, baseline).at(0);
  EXPECT_NEAR(metrics.mean_mae, 1.4, 1e-12);
  EXPECT_NEAR(metrics.mean_rmse, 1.5652475842498528, 1e-12);
  const std::vector<double> nothing_known{std::nan("")};
  EXPECT_TRUE(std::isnan(predictor_metrics(one_name, 0, 4, scores, labels, nothing_known).at(0).mean_mae));
  EXPECT_THROW(predictor_metrics(one_name, 0, 4, scores, labels, {}), std::logic_error) << "none is not another one";
}

TEST(PredictorMetrics, UnknownLabelsCountForNothing) {
  const std::vector<std::string> names{"a", "b", "c"};
  // (3, 3): `a` is known twice, `b` once, `c` never.
  const std::vector<float> known{1, unknown, unknown, unknown, 2, unknown, 3, unknown, unknown};
  const std::vector<double> given{2, 99, 99, 99, 2, 99, 3, 99, 99};
  const auto metrics = predictor_metrics(names, 0, 4, given, known, label_means(3, known));
  EXPECT_EQ(metrics[0].count, 2);
  EXPECT_EQ(metrics[0].mae, 0.5);
  EXPECT_EQ(metrics[0].rmse, std::sqrt(0.5));
  EXPECT_EQ(metrics[0].exact, 0.5);
  EXPECT_EQ(metrics[0].mean_mae, 1);
  EXPECT_EQ(metrics[1].count, 1);
  EXPECT_EQ(metrics[1].mae, 0);
  EXPECT_TRUE(std::isnan(metrics[1].pearson));
  EXPECT_TRUE(std::isnan(metrics[1].kappa)) << "no disagreement is possible by chance";
  EXPECT_EQ(metrics[2].count, 0);
  EXPECT_TRUE(std::isnan(metrics[2].mae));
  EXPECT_TRUE(std::isnan(metrics[2].mean_rmse));
  const auto means = label_means(3, known);
  EXPECT_EQ(means[0], 2);
  EXPECT_EQ(means[1], 2);
  EXPECT_TRUE(std::isnan(means[2]));
}

TEST(PredictorMetrics, RoundsHalfToEvenAndClamps) {
  const std::vector<double> halves{0.5, 1.5, 2.5, 3.5, 7, -3};
  const std::vector<float> rounded{0, 2, 2, 4, 4, 0};
  EXPECT_EQ(predictor_metrics(one_name, 0, 4, halves, rounded, zero).at(0).exact, 1);
  EXPECT_EQ(predictor_metrics(one_name, 0, 4, halves, rounded, zero).at(0).kappa, 1);
  EXPECT_GT(predictor_metrics(one_name, 0, 4, halves, rounded, zero).at(0).mae, 1)
      << "scores themselves are neither rounded nor clamped";
}

TEST(PredictorMetrics, KappaOfChanceIsZeroAndOfContradictionMinusOne) {
  const std::vector<float> truth{0, 0, 4, 4};
  EXPECT_EQ(predictor_metrics(one_name, 0, 4, std::vector<double>{0, 4, 0, 4}, truth, zero).at(0).kappa, 0);
  EXPECT_EQ(predictor_metrics(one_name, 0, 4, std::vector<double>{4, 4, 0, 0}, truth, zero).at(0).kappa, -1);
}

}  // namespace
}  // namespace steerlm
