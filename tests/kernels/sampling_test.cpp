#include "steerlm/kernels/sampling.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>

#include "steerlm/core/rng.h"

namespace steerlm {
namespace {

// Shares of 20,000 draws.
std::map<std::int32_t, double> shares(const std::vector<float>& logits, double temperature, std::int64_t top_k,
                                      double top_p) {
  constexpr int draws = 20000;
  std::map<std::int32_t, double> result;
  for (int i = 0; i < draws; ++i) {
    Rng rng(5, "test", static_cast<std::uint64_t>(i));
    result[sample_token(logits, temperature, top_k, top_p, rng.uniform()).id] += 1.0 / draws;
  }
  return result;
}

const std::vector<float> logits{std::log(0.1f), std::log(0.4f), std::log(0.2f), std::log(0.3f)};

TEST(Sampling, GreedyTakesTheLargestAndTheSmallerIdOnATie) {
  EXPECT_EQ(sample_token(logits, 0, 0, 1, 0.99).id, 1);
  const std::vector<float> tie{1, 3, 3};
  EXPECT_EQ(sample_token(tie, 0, 0, 1, 0.5).id, 1);
}

TEST(Sampling, LogProbabilityIsTheModelsOwn) {
  for (double temperature : {0.0, 0.5, 2.0}) {
    const SampledToken token = sample_token(logits, temperature, 2, 0.5, 0.1);
    EXPECT_NEAR(token.logprob, static_cast<double>(logits[token.id]), 1e-6);
  }
}

TEST(Sampling, FollowsTheProbabilities) {
  const auto share = shares(logits, 1, 0, 1);
  for (std::int32_t id = 0; id < 4; ++id) EXPECT_NEAR(share.at(id), std::exp(static_cast<double>(logits[id])), 0.015);
}

TEST(Sampling, TemperatureSharpens) {
  const auto share = shares(logits, 0.5, 0, 1);  // squares: 0.01 0.16 0.04 0.09 of 0.30
  EXPECT_NEAR(share.at(1), 0.16 / 0.30, 0.015);
  EXPECT_NEAR(share.at(0), 0.01 / 0.30, 0.015);
}

TEST(Sampling, TopKAndTopPKeepTheLargest) {
  const auto top_k = shares(logits, 1, 2, 1);
  EXPECT_EQ(top_k.size(), 2u);
  EXPECT_NEAR(top_k.at(1), 4.0 / 7, 0.015);
  const auto top_p = shares(logits, 1, 0, 0.65);  // 0.4 is not enough, 0.4 + 0.3 is
  EXPECT_EQ(top_p.size(), 2u);
  EXPECT_TRUE(top_p.contains(3));
  EXPECT_EQ(shares(logits, 1, 0, 0).size(), 1u);
}

}  // namespace
}  // namespace steerlm
