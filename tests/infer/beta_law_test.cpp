#include "steerlm/infer/beta_law.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <stdexcept>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"

namespace steerlm {
namespace {

const float unknown = std::numeric_limits<float>::quiet_NaN();

Attributes two_attributes() { return {.names = {"quality", "humor"}, .min = 0, .max = 4, .defaults = {0, 0}}; }

// tools/make_beta_fixtures.py
TEST(BetaLaw, IsThatOfScipyAndMpmathInBothTails) {
  const Path file = Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "beta_law.json";
  const Json fixture = parse_json(read_file(file, ExitCode::data, "fixture"), file.string(), ExitCode::data);
  double least = 0;
  for (const Json& row : fixture.at("cases")) {
    const BetaOptions options{.concentration = row[5].get<double>(),
                              .edges = *enum_value<BetaEdges>(row[4].get<std::string>())};
    const double expected = row[6].get<double>();
    const double found =
        beta_log_probability(row[0].get<double>(), row[1].get<int>(), row[2].get<int>(), row[3].get<int>(), options);
    EXPECT_NEAR(found, expected, 1e-10 + 1e-11 * std::abs(expected)) << row;
    least = std::min(least, expected);
  }
  EXPECT_LT(least, -750) << "a case below what a double holds";
}

TEST(BetaLaw, TheProbabilitiesOfAllValuesSumToOne) {
  for (const BetaEdges edges : {BetaEdges::equal, BetaEdges::half}) {
    for (const double score : {-7.0, 0.0, 0.3, 2.0, 3.6, 4.0, 9.0}) {
      double sum = 0;
      for (int value = 0; value <= 4; ++value)
        sum += std::exp(beta_log_probability(score, value, 0, 4, {.edges = edges}));
      EXPECT_NEAR(sum, 1, 1e-12) << score;
    }
  }
}

// Figures that are known of the law with concentration 24 (two decimals).
TEST(BetaLaw, TheEdgesMatter) {
  const auto p = [](double score, int value, BetaEdges edges) {
    return std::exp(beta_log_probability(score, value, 0, 4, {.edges = edges}));
  };
  EXPECT_NEAR(p(3.0, 3, BetaEdges::equal), 0.64, 0.005);
  EXPECT_NEAR(p(3.0, 4, BetaEdges::equal), 0.31, 0.006);
  EXPECT_NEAR(p(3.0, 3, BetaEdges::half), 0.86, 0.005);
  EXPECT_NEAR(p(3.0, 4, BetaEdges::half), 0.06, 0.006);
  EXPECT_NEAR(p(3.6, 4, BetaEdges::equal), 0.93, 0.005);
  EXPECT_NEAR(p(3.6, 4, BetaEdges::half), 0.71, 0.005);
}

TEST(BetaLaw, OfALabelGoesOverTheAttributesThatItNames) {
  const std::vector<float> scores{3.25f, 0.5f};
  const double quality = beta_log_probability(3.25, 4, 0, 4, {}), humor = beta_log_probability(0.5, 1, 0, 4, {});
  const auto of = [&](std::vector<float> values, const BetaOptions& options) {
    return label_log_probability(scores, {"", std::move(values)}, two_attributes(), options);
  };
  EXPECT_DOUBLE_EQ(of({4, 1}, {}), quality + humor);
  EXPECT_DOUBLE_EQ(of({unknown, 1}, {}), humor);
  const BetaOptions mean{.combination = BetaCombination::geometric_mean};
  EXPECT_DOUBLE_EQ(of({4, 1}, mean), (quality + humor) / 2);
  EXPECT_DOUBLE_EQ(of({4, unknown}, mean), quality);
  EXPECT_THROW(of({unknown, unknown}, {}), std::logic_error);
  EXPECT_THROW(beta_log_probability(unknown, 1, 0, 4, {}), std::logic_error);
  EXPECT_THROW(beta_log_probability(1, 5, 0, 4, {}), std::logic_error);
}

// The ends of the range have no Beta law: the share is clamped.
TEST(BetaLaw, AScoreAtTheEndsIsClamped) {
  EXPECT_EQ(beta_log_probability(4, 4, 0, 4, {}), beta_log_probability(5.5, 4, 0, 4, {}));
  EXPECT_EQ(beta_log_probability(4, 4, 0, 4, {}), beta_log_probability(3.9975, 4, 0, 4, {}));
  EXPECT_TRUE(std::isfinite(beta_log_probability(-3, 4, 0, 4, {})));
  EXPECT_LT(beta_log_probability(-3, 4, 0, 4, {}), -30);
}

}  // namespace
}  // namespace steerlm
