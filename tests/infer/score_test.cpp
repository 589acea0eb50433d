// Scores do not depend on how they are batched, nor on where a job was stopped.
#include "steerlm/infer/score.h"

#include <ATen/Parallel.h>
#include <gtest/gtest.h>

#include <numeric>

#include "infer/small_model.h"
#include "steerlm/core/rng.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {
namespace {

class Score : public testing::Test {
 protected:
  // Ragged, most of them short.
  Score() : model_(small_model(300)) {
    for (std::uint64_t i = 0; i < 60; ++i) {
      Rng rng(3, "ids", i);
      Example example;
      const size_t length = 1 + (i % 7 == 0 ? rng.below(60) : rng.below(12));
      for (size_t t = 0; t < length; ++t) {
        example.ids.push_back(static_cast<std::int32_t>(3 + rng.below(297)));
        example.target.push_back(t > 0);
      }
      examples_.push_back(std::move(example));
    }
    for (size_t end = 3; end <= examples_.size(); end += 3) units_.push_back(end);
    units_.insert(units_.begin() + 4, units_[3]);  // one without a sequence
  }

  std::int64_t tokens_of(size_t begin, size_t end) const {
    return std::accumulate(examples_.begin() + static_cast<std::ptrdiff_t>(begin),
                           examples_.begin() + static_cast<std::ptrdiff_t>(end), std::int64_t{0},
                           [](std::int64_t sum, const Example& e) { return sum + std::ssize(e.ids); });
  }

  Transformer model_;
  std::vector<Example> examples_;
  std::vector<size_t> units_;
};

TEST_F(Score, DoesNotDependOnTheBatch) {
  const auto expected = token_log_probabilities(model_, examples_, 65536);
  for (const std::int64_t tokens : {1, 20, 64, 512, 4096}) {
    const auto longest_first = token_log_probabilities(model_, examples_, tokens);
    const auto in_order = token_log_probabilities(model_, examples_, {tokens, units_});
    for (size_t e = 0; e < examples_.size(); ++e) {
      ASSERT_EQ(longest_first[e].size(), examples_[e].ids.size());
      for (size_t t = 0; t < examples_[e].ids.size(); ++t) {
        EXPECT_NEAR(longest_first[e][t], expected[e][t], 1e-5) << tokens;
        EXPECT_NEAR(in_order[e][t], expected[e][t], 1e-5) << tokens;
      }
    }
  }
}

// Each thread has a batch of its own, as soon as there are tokens for several.
TEST_F(Score, BitsDoNotDependOnTheThreads) {
  if (!rows_are_independent(at::kFloat)) GTEST_SKIP() << "a processor without AVX2 takes ATen's products";
  const std::vector<Example> few = examples_;
  for (int i = 0; i < 9; ++i) examples_.insert(examples_.end(), few.begin(), few.end());
  ASSERT_GT(tokens_of(0, examples_.size()), 4 * 1024);
  units_.clear();
  for (size_t end = 30; end <= examples_.size(); end += 30) units_.push_back(end);
  const int before = at::get_num_threads();
  std::vector<std::vector<TokenScores>> longest_first, in_order;
  for (const int threads : {1, 2, 3}) {
    at::set_num_threads(threads);
    longest_first.push_back(token_log_probabilities(model_, examples_, 2048));
    size_t done = 0;
    in_order.push_back(token_log_probabilities(model_, examples_, {2048, units_}, [&](auto first) {
      EXPECT_GT(first.size(), done);
      done = first.size();
      return true;
    }));
    EXPECT_EQ(done, examples_.size());
  }
  at::set_num_threads(before);
  for (const auto& scores : longest_first) EXPECT_EQ(scores, longest_first.front());
  for (const auto& scores : in_order) EXPECT_EQ(scores, longest_first.front());
}

TEST_F(Score, UnitsAreDoneOneAfterAnotherAndStayTogether) {
  for (const std::int64_t tokens : {20, 64, 200}) {
    std::vector<size_t> done{0};
    token_log_probabilities(model_, examples_, {tokens, units_}, [&](std::span<const TokenScores> first) {
      EXPECT_GT(first.size(), done.back());
      EXPECT_NE(std::ranges::find(units_, first.size()), units_.end()) << "the end of a unit";
      for (const TokenScores& scores : first) EXPECT_FALSE(scores.empty());
      // What is new fits in a batch, or is a unit that does not.
      if (tokens_of(done.back(), first.size()) > tokens) {
        EXPECT_EQ(first.size(), *std::ranges::upper_bound(units_, done.back()));
      }
      done.push_back(first.size());
      return true;
    });
    EXPECT_EQ(done.back(), examples_.size());
    EXPECT_GT(done.size(), 3u);
  }
}

TEST_F(Score, StoppedItGoesOnWithTheSameBatches) {
  const std::int64_t tokens = 64;
  std::vector<size_t> all;
  token_log_probabilities(model_, examples_, {tokens, units_}, [&](std::span<const TokenScores> first) {
    all.push_back(first.size());
    return true;
  });
  const auto stopped = token_log_probabilities(
      model_, examples_, {tokens, units_}, [&](std::span<const TokenScores> first) { return first.size() < all[2]; });
  EXPECT_FALSE(stopped[all[2] - 1].empty());
  EXPECT_TRUE(stopped[all[2]].empty()) << "nothing beyond";
  std::vector<size_t> rest_units;
  for (const size_t end : units_) {
    if (end > all[2]) rest_units.push_back(end - all[2]);
  }
  std::vector<size_t> rest;
  token_log_probabilities(model_, std::span(examples_).subspan(all[2]), {tokens, rest_units},
                          [&](std::span<const TokenScores> first) {
                            rest.push_back(first.size() + all[2]);
                            return true;
                          });
  EXPECT_EQ(rest, std::vector<size_t>(all.begin() + 3, all.end()));
}

}  // namespace
}  // namespace steerlm
