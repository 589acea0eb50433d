#include "steerlm/eval/correlation.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace steerlm {
namespace {

using testing::ElementsAre;

const std::vector<double> x{1, 2, 2, 3, 5, 5, 5, 8};
const std::vector<double> y{2, 1, 4, 4, 4, 9, 7, 3};

// Expected values: scipy 1.17.1, stats.pearsonr, spearmanr, rankdata and linregress.
TEST(Correlation, EqualsScipyOnListsWithTies) {
  EXPECT_NEAR(pearson(x, y), 0.3882759992081743, 1e-14);
  EXPECT_NEAR(spearman(x, y), 0.4779968751552962, 1e-14);
  EXPECT_NEAR(slope(x, y), 0.4406779661016949, 1e-14);
  EXPECT_THAT(average_ranks(x), ElementsAre(1, 2.5, 2.5, 4, 6, 6, 6, 8));
  EXPECT_THAT(average_ranks(y), ElementsAre(2, 1, 5, 5, 5, 8, 7, 3));
}

TEST(Correlation, SpearmanLooksAtTheOrderOnly) {
  EXPECT_EQ(spearman(std::vector<double>{0, 1, 2, 3}, std::vector<double>{-1, 0, 100, 101}), 1);
  EXPECT_EQ(spearman(std::vector<double>{0, 1, 2, 3}, std::vector<double>{5, 4, 1, 0.9}), -1);
}

TEST(Correlation, TheStandardDeviationIsOfASample) {
  EXPECT_DOUBLE_EQ(standard_deviation(std::vector<double>{2, 4, 4, 4, 5, 5, 7, 9}), std::sqrt(32.0 / 7));
  EXPECT_TRUE(std::isnan(standard_deviation(std::vector<double>{3})));
  EXPECT_TRUE(std::isnan(standard_deviation({}))) << "and no -0";
}

TEST(Correlation, PearsonOfALineIsOne) {
  std::vector<double> line;
  for (double value : x) line.push_back(0.1 - 3 * value);
  EXPECT_NEAR(pearson(x, line), -1, 1e-15);
  EXPECT_NEAR(slope(x, line), -3, 1e-14);
}

TEST(Correlation, WhatIsNotDefinedIsNan) {
  const std::vector<double> none, one{1}, flat{0.1, 0.1, 0.1}, rising{1, 2, 3};
  EXPECT_TRUE(std::isnan(mean(none)));
  EXPECT_TRUE(std::isnan(pearson(none, none)));
  EXPECT_TRUE(std::isnan(pearson(one, one)));
  EXPECT_TRUE(std::isnan(pearson(rising, flat)));
  EXPECT_TRUE(std::isnan(spearman(flat, rising)));
  EXPECT_TRUE(std::isnan(slope(flat, rising)));
  EXPECT_EQ(slope(rising, flat), 0);
}

}  // namespace
}  // namespace steerlm
