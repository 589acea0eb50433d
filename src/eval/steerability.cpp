#include "steerlm/eval/steerability.h"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "steerlm/eval/correlation.h"

namespace steerlm {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

std::vector<double> column(const std::vector<std::vector<double>>& rows, size_t m) {
  std::vector<double> values;
  for (const auto& row : rows) values.push_back(row[m]);
  return values;
}

// Of the first `attributes` measures, less the dial's own.
double mean_side_effect(const DialRow& row, size_t attributes) {
  std::vector<double> effects;
  for (size_t m = 0; m < attributes; ++m) {
    if (static_cast<int>(m) != row.own) effects.push_back(std::abs(row.effect[m]));
  }
  return mean(effects);
}

void add_own_figures(DialRow& row, std::span<const double> levels, const std::vector<std::vector<double>>& measured,
                     size_t attributes, std::uint64_t seed) {
  const auto own = static_cast<size_t>(row.own);
  const std::vector<double> means = column(row.means, own), values = column(measured, own);
  row.own_spearman = row.spearman[own];
  row.own_slope = row.slope[own];
  row.own_monotone =
      means.size() > 1 && std::adjacent_find(means.begin(), means.end(), std::greater_equal<>()) == means.end();
  const auto slope_of_rows = [&](std::span<const size_t> rows) {
    std::vector<double> x, y;
    for (size_t i : rows) {
      x.push_back(levels[i]);
      y.push_back(values[i]);
    }
    return slope(x, y);
  };
  row.own_slope_interval = bootstrap_interval(values.size(), slope_of_rows, seed);
  row.side_effect = mean_side_effect(row, attributes);
  row.side_share = row.side_effect / std::abs(row.effect[own]);
}

DialRow make_row(const DialTable& table, const std::string& name, size_t dial, std::span<const DialSample> samples,
                 std::uint64_t seed) {
  const std::vector<std::string>& measures = table.measures;
  DialRow row{.name = name,
              .own_spearman = undefined,
              .own_slope = undefined,
              .own_slope_interval = {undefined, undefined},
              .side_effect = undefined,
              .side_share = undefined};
  std::vector<double> levels;
  std::vector<std::vector<double>> measured;
  std::map<int, std::vector<size_t>> by_level;
  for (const DialSample& sample : samples) {
    if (sample.dial != dial) continue;
    by_level[sample.level].push_back(measured.size());
    levels.push_back(sample.level);
    measured.push_back(sample.measured);
  }
  for (const auto& [level, answers] : by_level) {
    std::vector<double> means(measures.size());
    for (size_t answer : answers) {
      for (size_t m = 0; m < measures.size(); ++m)
        means[m] += measured[answer][m] / static_cast<double>(answers.size());
    }
    row.levels.push_back(level);
    row.count.push_back(static_cast<std::int64_t>(answers.size()));
    row.means.push_back(std::move(means));
  }
  const std::vector<double> distinct_levels(row.levels.begin(), row.levels.end());
  const double span = row.levels.empty() ? 0 : row.levels.back() - row.levels.front();
  for (size_t m = 0; m < measures.size(); ++m) {
    row.spearman.push_back(spearman(distinct_levels, column(row.means, m)));
    row.slope.push_back(slope(levels, column(measured, m)));
    row.effect.push_back(row.slope[m] * span);
    if (m < table.attributes && measures[m] == name) row.own = static_cast<int>(m);
  }
  if (row.own >= 0 && !measured.empty()) add_own_figures(row, levels, measured, table.attributes, seed);
  return row;
}

}  // namespace

DialTable make_dial_table(std::span<const std::string> dials, const Measures& measures,
                          std::span<const DialSample> samples, std::uint64_t seed) {
  DialTable table{.measures = measures.attributes, .attributes = measures.attributes.size()};
  table.measures.insert(table.measures.end(), measures.figures.begin(), measures.figures.end());
  for (size_t d = 0; d < dials.size(); ++d) table.rows.push_back(make_row(table, dials[d], d, samples, seed));
  return table;
}

}  // namespace steerlm
