#include "steerlm/eval/judgements.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

#include "steerlm/core/rng.h"
#include "steerlm/eval/correlation.h"

namespace steerlm {
namespace {

constexpr double start = 1000, k_factor = 32;
constexpr double nan = std::numeric_limits<double>::quiet_NaN();

// The ratings after the judgements in the order of `rows`.
void play(std::span<const Judgement> judgements, std::span<const size_t> rows, std::vector<double>& ratings) {
  std::ranges::fill(ratings, start);
  for (const size_t row : rows) {
    const Judgement& game = judgements[row];
    const double change = k_factor * (game.score - elo_expected_score(ratings[game.first], ratings[game.second]));
    ratings[game.first] += change;
    ratings[game.second] -= change;
  }
}

// Fisher and Yates.
void shuffle(std::vector<size_t>& rows, Rng& rng) {
  for (size_t i = rows.size(); i > 1; --i) std::swap(rows[i - 1], rows[rng.below(i)]);
}

struct Fit {
  double intercept = 0, slope = 0;
};

// Maximum likelihood of sigmoid(intercept + slope x) for shares y, by Newton's method. Nothing where it runs away, as
// it does when x separates the wins from the losses.
std::optional<Fit> logistic_regression(std::span<const double> x, std::span<const double> y) {
  Fit fit;
  for (int step = 0; step < 100; ++step) {
    // Gradient g and Hessian h of the log-likelihood, negated.
    double g0 = 0, g1 = 0, h00 = 0, h01 = 0, h11 = 0;
    for (size_t i = 0; i < x.size(); ++i) {
      const double p = 1 / (1 + std::exp(-(fit.intercept + fit.slope * x[i])));
      const double weight = p * (1 - p);
      g0 += p - y[i];
      g1 += (p - y[i]) * x[i];
      h00 += weight;
      h01 += weight * x[i];
      h11 += weight * x[i] * x[i];
    }
    const double determinant = h00 * h11 - h01 * h01;
    if (!(determinant > 1e-12 * h00 * h11)) return std::nullopt;
    const double d0 = (h11 * g0 - h01 * g1) / determinant, d1 = (h00 * g1 - h01 * g0) / determinant;
    fit.intercept -= d0;
    fit.slope -= d1;
    if (std::abs(fit.intercept) > 30 || std::abs(fit.slope) > 1e3) return std::nullopt;
    if (std::abs(d0) + std::abs(d1) < 1e-10) return fit;
  }
  return std::nullopt;
}

std::optional<double> length_controlled_rate(std::span<const double> differences, std::span<const double> scores) {
  const double count = static_cast<double>(differences.size());
  double squares = 0;
  for (const double difference : differences) squares += difference * difference / count;
  const double centre = mean(differences), deviation = std::sqrt(std::max(0.0, squares - centre * centre));
  if (!(deviation > 0)) return std::nullopt;
  std::vector<double> x;
  for (const double difference : differences) x.push_back(std::tanh(difference / deviation));
  const std::optional<Fit> fit = logistic_regression(x, scores);
  if (!fit) return std::nullopt;
  return 1 / (1 + std::exp(-fit->intercept));
}

}  // namespace

double elo_expected_score(double rating, double other) { return 1 / (1 + std::pow(10, (other - rating) / 400)); }

std::vector<EloRating> elo_ratings(size_t players, std::span<const Judgement> judgements, std::uint64_t seed,
                                   int orders) {
  std::vector<EloRating> result(players, {nan, {nan, nan}});
  if (judgements.empty()) return result;
  std::vector<size_t> rows(judgements.size());
  std::vector<double> ratings(players);
  std::vector<double> sums(players, 0);
  std::vector<std::vector<double>> drawn(players);
  for (int order = 0; order < orders; ++order) {
    Rng rng(seed, "elo", static_cast<std::uint64_t>(order));
    std::iota(rows.begin(), rows.end(), size_t{0});
    shuffle(rows, rng);
    play(judgements, rows, ratings);
    for (size_t p = 0; p < players; ++p) sums[p] += ratings[p];
    for (size_t& row : rows) row = static_cast<size_t>(rng.below(judgements.size()));
    play(judgements, rows, ratings);
    for (size_t p = 0; p < players; ++p) drawn[p].push_back(ratings[p]);
  }
  std::vector<bool> plays(players, false);
  for (const Judgement& game : judgements) plays[game.first] = plays[game.second] = true;
  for (size_t p = 0; p < players; ++p) {
    if (!plays[p]) continue;
    std::ranges::sort(drawn[p]);
    result[p] = {sums[p] / orders, {quantile(drawn[p], 0.025), quantile(drawn[p], 0.975)}};
  }
  return result;
}

WinRate win_rate(std::span<const Judgement> judgements, size_t player, size_t other, std::uint64_t seed) {
  struct Prompt {
    double score = 0, judged = 0;
    double as_first = nan, as_second = nan;  // the last score in each place
  };
  std::map<size_t, Prompt> prompts;
  std::vector<double> differences, scores;
  bool lengths = true;
  for (const Judgement& game : judgements) {
    const bool first = game.first == player && game.second == other;
    if (!first && !(game.first == other && game.second == player)) continue;
    const double score = first ? game.score : 1 - game.score;
    Prompt& prompt = prompts[game.prompt];
    prompt.score += score;
    ++prompt.judged;
    (first ? prompt.as_first : prompt.as_second) = score;
    lengths = lengths && game.first_length > 0 && game.second_length > 0;
    differences.push_back((game.first_length - game.second_length) * (first ? 1 : -1));
    scores.push_back(score);
  }
  WinRate result{.prompts = static_cast<std::int64_t>(prompts.size()), .rate = nan, .interval = {nan, nan}};
  std::vector<double> of_prompts;
  for (const auto& [number, prompt] : prompts) {
    of_prompts.push_back(prompt.score / prompt.judged);
    if (std::isnan(prompt.as_first) || std::isnan(prompt.as_second)) continue;
    ++result.both_orders;
    result.consistent += prompt.as_first == prompt.as_second ? 1 : 0;
  }
  if (of_prompts.empty()) return result;
  result.rate = mean(of_prompts);
  result.interval = bootstrap_interval_of_mean(of_prompts, seed);
  if (lengths) result.length_controlled = length_controlled_rate(differences, scores);
  return result;
}

}  // namespace steerlm
