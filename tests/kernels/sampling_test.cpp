#include "steerlm/kernels/sampling.h"

#include <ATen/core/Tensor.h>
#include <ATen/ops/log_softmax.h>
#include <ATen/ops/softmax.h>
#include <ATen/ops/sort.h>
#include <ATen/ops/tensor.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "steerlm/core/rng.h"
#include "support/tensor_operators.h"

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

// The limit is the most probable token; 1 / temperature is beyond fp32 below 3e-39, and beyond fp64 below 6e-309.
TEST(Sampling, AsTheTemperatureFallsItBecomesGreedy) {
  for (const double temperature : {1e-3, 1e-38, 1e-39, 1e-60, 1e-310}) {
    for (const std::int64_t top_k : {0, 2}) {
      for (const double draw : {0.0, 0.5, 0.999})
        EXPECT_EQ(sample_token(logits, temperature, top_k, 1, draw).id, 1) << temperature << " " << top_k;
    }
  }
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

// Every draw against the inverse of the distribution function, composed in fp64 from sorted probabilities.
TEST(Sampling, EqualsTheCompositionForEveryDraw) {
  std::vector<float> many(50);
  Rng rng(2, "logits", 0);
  for (float& logit : many) logit = static_cast<float>(3 * rng.normal());
  const at::Tensor wide = at::tensor(many).to(at::kDouble);
  const at::Tensor log_p = at::log_softmax(wide, 0);
  for (const double temperature : {0.3, 1.0, 2.5}) {
    for (const std::int64_t top_k : {0, 1, 7, 50, 200}) {
      for (const double top_p : {1.0, 0.8, 0.05}) {
        const std::int64_t kept = top_k == 0 ? 50 : std::min<std::int64_t>(50, top_k);
        const auto [sorted, ids] = (wide / temperature).sort(0, /*descending=*/true);
        at::Tensor p = at::softmax(sorted.slice(0, 0, kept), 0);
        // Kept is what has less than top_p before it.
        p = p * (p.cumsum(0) - p).lt(top_p);
        const at::Tensor ends = (p / p.sum()).cumsum(0);
        for (int i = 0; i < 200; ++i) {
          const double uniform = (i + 0.5) / 200;
          const SampledToken token = sample_token(many, temperature, top_k, top_p, uniform);
          const auto index = ends.le(uniform).sum().item<std::int64_t>();
          EXPECT_EQ(token.id, ids[index].item<std::int64_t>()) << temperature << " " << top_k << " " << top_p;
          EXPECT_NEAR(token.logprob, log_p[token.id].item<double>(), 1e-7);  // the sum is of exponentials in fp32
        }
      }
    }
  }
}

// The candidates are sorted band by band; the order goes on from one to the next, and ties stay together.
TEST(Sampling, DrawsAmongManyReachEveryOne) {
  std::vector<float> many(3000);
  Rng rng(4, "logits", 0);
  for (float& logit : many) logit = static_cast<float>(std::round(40 * rng.normal()) / 2);
  const auto [sorted, ids] = at::tensor(many).to(at::kDouble).sort(/*stable=*/true, 0, /*descending=*/true);
  const double temperature = 8;
  const at::Tensor ends = at::softmax(sorted / temperature, 0).cumsum(0);
  std::set<std::int64_t> drawn;
  for (std::int64_t i = 0; i < 3000; ++i) {
    const double begin = i == 0 ? 0 : ends[i - 1].item<double>(), end = ends[i].item<double>();
    if (end - begin < 1e-6) continue;  // as narrow as what fp32 exponentials leave open
    EXPECT_EQ(sample_token(many, temperature, 0, 1, (begin + end) / 2).id, ids[i].item<std::int64_t>()) << i;
    drawn.insert(i);
  }
  EXPECT_GT(drawn.size(), 300u);
  const auto last = static_cast<std::int64_t>(std::ranges::min_element(many) - many.begin());
  EXPECT_EQ(many[static_cast<size_t>(sample_token(many, 1e9, 0, 1, std::nextafter(1.0, 0.0)).id)],
            many[static_cast<size_t>(last)]);
}

TEST(Sampling, LogitsThatAreNotFiniteGiveNoProbability) {
  for (const float bad : {NAN, INFINITY, -INFINITY}) {
    for (const size_t place : {0, 1, 3}) {
      std::vector<float> broken = logits;
      broken[place] = bad;
      for (const double temperature : {0.0, 1.0})
        EXPECT_TRUE(std::isnan(sample_token(broken, temperature, 2, 0.9, 0.3).logprob)) << bad << " at " << place;
    }
  }
}

}  // namespace
}  // namespace steerlm
