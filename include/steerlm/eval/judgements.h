// Who wins when answers of several models to the same prompts are judged in pairs: win rates, and Elo as SteerLM
// reports it (section 4.4).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "steerlm/eval/intervals.h"

namespace steerlm {

// One judgement of two answers to a prompt, in the order in which the judge was shown them.
struct Judgement {
  size_t prompt = 0;
  size_t first = 0, second = 0;  // players, different ones
  double score = 0;              // of the first: 1 it wins, 0.5 a tie, 0 it loses
  // Characters of the answers, where they are known; they take the taste for long answers out.
  double first_length = 0, second_length = 0;
};

// The Elo model: the share of games that a player with `rating` wins, 1 / (1 + 10^((other - rating) / 400)).
double elo_expected_score(double rating, double other);

struct EloRating {
  double rating = 0;  // mean over the orders; NaN: in no judgement
  Interval interval;  // 95 %: over orders of judgements that are drawn anew with replacement
};
// Each player starts at 1,000; each judgement moves both by 32 (score - expected). What that gives depends on the order
// of the judgements, so that it is done in `orders` random ones. A pure function of its arguments.
std::vector<EloRating> elo_ratings(size_t players, std::span<const Judgement> judgements, std::uint64_t seed,
                                   int orders = 10'000);

struct WinRate {
  std::int64_t prompts = 0;  // judged
  double rate = 0;           // mean score of `player` over the prompts, a tie 0.5
  Interval interval;         // 95 %, bootstrap over the prompts
  // Prompts that were judged in both orders, and of them those where the judge gave both times the same answer the win
  // or a tie. A judge that goes by the place of an answer has a low share.
  std::int64_t both_orders = 0, consistent = 0;
  // The rate between answers of equal length: 1 / (1 + exp(-a)) of the logistic regression a + b tanh(d / s) of the
  // scores on d, the difference of the lengths, with s its standard deviation (Dubois et al. 2024, without a term for
  // the prompt). Nothing where lengths are missing or do not differ, or where the regression has no finite solution.
  std::optional<double> length_controlled;
};
// Of the judgements between the two players, in either order. Those of one prompt count as one, their mean.
WinRate win_rate(std::span<const Judgement> judgements, size_t player, size_t other, std::uint64_t seed);

}  // namespace steerlm
