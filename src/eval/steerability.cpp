#include "steerlm/eval/steerability.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <utility>

#include "steerlm/eval/correlation.h"
#include "steerlm/eval/moments.h"

namespace steerlm {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

std::vector<double> known(std::vector<double> values) {
  std::erase_if(values, [](double value) { return std::isnan(value); });
  return values;
}

// One measure over the answers, or the level means, that have it.
struct Points {
  std::vector<double> levels, values;

  void add(double level, double value) {
    if (std::isnan(value)) return;
    levels.push_back(level);
    values.push_back(value);
  }
};

// The answers of one dial.
struct Answers {
  std::vector<double> levels;
  std::vector<std::vector<double>> measured;
  std::vector<size_t> prompts;
  std::vector<double> errors;                   // |own level - level asked for|
  std::map<int, std::vector<size_t>> by_level;  // places in the lists above

  Points points(size_t m) const {
    Points found;
    for (size_t i = 0; i < measured.size(); ++i) found.add(levels[i], measured[i][m]);
    return found;
  }
  std::vector<double> at_level(const std::vector<size_t>& places, size_t m) const {
    std::vector<double> values;
    for (size_t i : places) values.push_back(measured[i][m]);
    return known(std::move(values));
  }
  double prompt_spread(const std::vector<size_t>& places, size_t m) const {
    std::map<size_t, Moments> by_prompt;
    for (size_t i : places) {
      if (!std::isnan(measured[i][m])) by_prompt[prompts[i]].add(measured[i][m]);
    }
    std::vector<double> means;
    for (const auto& [prompt, moments] : by_prompt) means.push_back(moments.mean());
    return standard_deviation(means);
  }
};

Answers answers_of(size_t dial, std::span<const DialSample> samples) {
  Answers answers;
  for (const DialSample& sample : samples) {
    if (sample.dial != dial) continue;
    answers.by_level[sample.level].push_back(answers.measured.size());
    answers.levels.push_back(sample.level);
    answers.measured.push_back(sample.measured);
    answers.prompts.push_back(sample.prompt);
    answers.errors.push_back(std::abs(sample.own_level - sample.level));
  }
  return answers;
}

// sqrt(sum of (value - mean of its dial and level)^2 / (values - means)).
double spread_within_levels(const std::vector<Answers>& dials, size_t m) {
  double squares = 0;
  std::int64_t freedom = 0;
  for (const Answers& answers : dials) {
    for (const auto& [level, places] : answers.by_level) {
      const std::vector<double> values = answers.at_level(places, m);
      squares += squared_deviations(values);
      freedom += values.empty() ? 0 : static_cast<std::int64_t>(values.size()) - 1;
    }
  }
  return std::sqrt(squares / static_cast<double>(freedom));
}

// The effect in the unit that side effects are compared in. A measure that nothing moves has no effect, whatever its
// spread.
double comparable(const DialTable& table, double effect, size_t m) {
  return effect == 0 || !table.own_units ? std::abs(effect) : std::abs(effect) / table.spread[m];
}

Interval slope_interval(const Points& points, std::uint64_t seed) {
  const auto slope_of_rows = [&](std::span<const size_t> rows) {
    std::vector<double> x, y;
    for (size_t i : rows) {
      x.push_back(points.levels[i]);
      y.push_back(points.values[i]);
    }
    return slope(x, y);
  };
  return bootstrap_interval(points.values.size(), slope_of_rows, seed);
}

void add_own_figures(DialRow& row, const DialTable& table, const Answers& answers, std::uint64_t seed) {
  const auto own = static_cast<size_t>(row.own);
  row.own_spearman = row.spearman[own];
  row.own_slope = row.slope[own];
  Points means;
  for (size_t l = 0; l < row.levels.size(); ++l) means.add(row.levels[l], row.means[l][own]);
  row.own_monotone = means.values.size() > 1 && std::adjacent_find(means.values.begin(), means.values.end(),
                                                                   std::greater_equal<>()) == means.values.end();
  row.own_slope_interval = row.slope_interval[own];
  for (const auto& [level, places] : answers.by_level)
    row.own_mean_interval.push_back(bootstrap_interval_of_mean(answers.at_level(places, own), seed));
  std::vector<double> side_effects;
  for (size_t m = 0; m < table.attributes; ++m) {
    if (m != own) side_effects.push_back(comparable(table, row.effect[m], m));
  }
  row.side_effect = mean(side_effects);
  row.side_share = row.side_effect / comparable(table, row.effect[own], own);
}

void add_steering_error(DialRow& row, const Answers& answers, std::uint64_t seed) {
  for (const auto& [level, places] : answers.by_level) {
    std::vector<double> errors;
    for (size_t i : places) errors.push_back(answers.errors[i]);
    row.level_steering_error.push_back(mean(known(std::move(errors))));
  }
  const std::vector<double> errors = known(answers.errors);
  row.steering_error = mean(errors);
  row.steering_error_interval = bootstrap_interval_of_mean(errors, seed);
}

DialRow make_row(const DialTable& table, const std::string& name, const Answers& answers, std::uint64_t seed) {
  const std::vector<std::string>& measures = table.measures;
  DialRow row{.name = name,
              .own_spearman = undefined,
              .own_slope = undefined,
              .own_slope_interval = {undefined, undefined},
              .steering_error = undefined,
              .steering_error_interval = {undefined, undefined},
              .side_effect = undefined,
              .side_share = undefined};
  for (const auto& [level, places] : answers.by_level) {
    std::vector<double> means, spreads;
    for (size_t m = 0; m < measures.size(); ++m) {
      means.push_back(mean(answers.at_level(places, m)));
      spreads.push_back(answers.prompt_spread(places, m));
    }
    row.levels.push_back(level);
    row.count.push_back(static_cast<std::int64_t>(places.size()));
    row.means.push_back(std::move(means));
    row.prompt_spread.push_back(std::move(spreads));
  }
  const double span = row.levels.empty() ? 0 : row.levels.back() - row.levels.front();
  for (size_t m = 0; m < measures.size(); ++m) {
    Points means;
    for (size_t l = 0; l < row.levels.size(); ++l) means.add(row.levels[l], row.means[l][m]);
    const Points points = answers.points(m);
    row.spearman.push_back(spearman(means.levels, means.values));
    row.slope.push_back(slope(points.levels, points.values));
    row.effect.push_back(row.slope[m] * span);
    row.slope_interval.push_back(slope_interval(points, seed));
    row.effect_interval.push_back({row.slope_interval[m].low * span, row.slope_interval[m].high * span});
    if (m < table.attributes && measures[m] == name) row.own = static_cast<int>(m);
  }
  if (row.own >= 0 && !answers.measured.empty()) {
    add_own_figures(row, table, answers, seed);
    add_steering_error(row, answers, seed);
  }
  return row;
}

}  // namespace

DialTable make_dial_table(std::span<const std::string> dials, const Measures& measures,
                          std::span<const DialSample> samples, std::uint64_t seed) {
  DialTable table{
      .measures = measures.attributes, .attributes = measures.attributes.size(), .own_units = measures.own_units};
  table.measures.insert(table.measures.end(), measures.figures.begin(), measures.figures.end());
  std::vector<Answers> answers;
  for (size_t d = 0; d < dials.size(); ++d) answers.push_back(answers_of(d, samples));
  for (size_t m = 0; m < table.measures.size(); ++m) table.spread.push_back(spread_within_levels(answers, m));
  for (size_t d = 0; d < dials.size(); ++d) table.rows.push_back(make_row(table, dials[d], answers[d], seed));
  return table;
}

}  // namespace steerlm
