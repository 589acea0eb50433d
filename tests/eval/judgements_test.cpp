#include "steerlm/eval/judgements.h"

#include <gtest/gtest.h>

#include <cmath>
#include <span>

#include "eval/judgement_numbers.h"

namespace steerlm {
namespace {

TEST(Elo, TheWinColumnOfThePaperFollowsFromItsRatings) {
  // SteerLM table 2: 1139 against 1023 wins 66 %; its human evaluation 1040 against 981: 58 to 59 %.
  EXPECT_NEAR(elo_expected_score(1139, 1023), 0.661, 0.0005);
  EXPECT_NEAR(elo_expected_score(1040, 981), 0.584, 0.0005);
  EXPECT_DOUBLE_EQ(elo_expected_score(1000, 1000), 0.5);
}

TEST(Elo, OneGameMovesBothByHalfOfK) {
  const std::vector<Judgement> won{{0, 1, 0, 1}};
  const std::vector<EloRating> ratings = elo_ratings(3, won, 1, 50);
  EXPECT_DOUBLE_EQ(ratings[1].rating, 1016);
  EXPECT_DOUBLE_EQ(ratings[0].rating, 984);
  EXPECT_DOUBLE_EQ(ratings[0].interval.low, 984);
  EXPECT_TRUE(std::isnan(ratings[2].rating)) << "a player without a judgement has no rating";
  EXPECT_TRUE(std::isnan(ratings[2].interval.high));
}

TEST(Elo, IsTheMeanOverTheOrders) {
  std::vector<Judgement> games;
  for (const auto& [first, second, score] : elo_games)
    games.push_back({games.size(), static_cast<size_t>(first), static_cast<size_t>(second), score});
  const std::vector<EloRating> ratings = elo_ratings(3, games, 1, 10'000);
  for (size_t p = 0; p < 3; ++p) {
    EXPECT_NEAR(ratings[p].rating, elo_means[p], 0.1) << p;  // over all 120 orders, the update in floating point
    EXPECT_LT(ratings[p].interval.low, ratings[p].rating - 5);
    EXPECT_GT(ratings[p].interval.high, ratings[p].rating + 5);
  }
  EXPECT_EQ(elo_ratings(3, games, 1, 100)[0].rating, elo_ratings(3, games, 1, 100)[0].rating);
  EXPECT_NE(elo_ratings(3, games, 1, 100)[0].rating, elo_ratings(3, games, 2, 100)[0].rating);
}

TEST(Elo, WhoWinsThreeGamesOfFourIs191Ahead) {
  std::vector<Judgement> games;
  for (size_t i = 0; i < 400; ++i) {
    const bool zero_wins = i % 4 < 3, zero_is_first = i % 2 == 0;
    games.push_back({i, zero_is_first ? 0u : 1u, zero_is_first ? 1u : 0u, zero_wins == zero_is_first ? 1.0 : 0.0});
  }
  const std::vector<EloRating> ratings = elo_ratings(2, games, 1, 500);
  EXPECT_NEAR(ratings[0].rating + ratings[1].rating, 2000, 1e-9);
  // The difference at which the expected score is 3/4; the updates hover around it.
  EXPECT_NEAR(ratings[0].rating - ratings[1].rating, 400 * std::log10(3), 12);
  EXPECT_GT(ratings[0].interval.low, ratings[1].interval.high);
}

TEST(WinRate, OfOneIsTheRestOfTheOthers) {
  const std::vector<Judgement> judged{{0, 0, 1, 1},   {0, 1, 0, 0}, {1, 0, 1, 1}, {1, 1, 0, 1},
                                      {2, 1, 0, 0.5}, {3, 2, 0, 0}, {4, 0, 1, 0}};
  const WinRate rate = win_rate(judged, 0, 1, 1), other = win_rate(judged, 1, 0, 1);
  EXPECT_EQ(rate.prompts, 4);
  EXPECT_DOUBLE_EQ(rate.rate, (1 + 0.5 + 0.5 + 0) / 4) << "prompt 1: the judge took the first answer both times";
  EXPECT_DOUBLE_EQ(rate.rate + other.rate, 1);
  EXPECT_EQ(rate.both_orders, 2);
  EXPECT_EQ(rate.consistent, 1);
  EXPECT_FALSE(rate.length_controlled) << "no lengths were given";
  EXPECT_EQ(win_rate(judged, 1, 2, 1).prompts, 0);
  EXPECT_TRUE(std::isnan(win_rate(judged, 1, 2, 1).rate));
}

TEST(WinRate, WithoutTheEffectOfLengthIsStatsmodels) {
  std::vector<Judgement> judged, turned;
  for (const auto& [first, second, score] : judged_lengths) {
    judged.push_back({judged.size(), 0, 1, score, first, second});
    // Every other one in the other order: both kinds belong to one regression.
    if (turned.size() % 2 == 0)
      turned.push_back({turned.size(), 1, 0, 1 - score, second, first});
    else
      turned.push_back({turned.size(), 0, 1, score, first, second});
  }
  ASSERT_TRUE(win_rate(judged, 0, 1, 1).length_controlled);
  EXPECT_NEAR(*win_rate(judged, 0, 1, 1).length_controlled, length_controlled, 1e-9);
  EXPECT_NEAR(*win_rate(turned, 0, 1, 1).length_controlled, length_controlled, 1e-9);
  EXPECT_NEAR(*win_rate(judged, 1, 0, 1).length_controlled, 1 - length_controlled, 1e-9);
}

TEST(WinRate, ALengthThatDecidesEverythingHasNoFiniteFit) {
  std::vector<Judgement> judged;
  for (size_t i = 0; i < 20; ++i)
    judged.push_back({i, 0, 1, i % 2 == 0 ? 1.0 : 0.0, i % 2 == 0 ? 500.0 : 100.0 + static_cast<double>(i), 300});
  EXPECT_FALSE(win_rate(judged, 0, 1, 1).length_controlled);
  for (Judgement& judgement : judged) judgement.first_length = 300;
  EXPECT_FALSE(win_rate(judged, 0, 1, 1).length_controlled) << "lengths that do not differ";
}

}  // namespace
}  // namespace steerlm
