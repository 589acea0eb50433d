#include "stages/dial_figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "stages/interval_format.h"
#include "steerlm/eval/diversity.h"
#include "steerlm/eval/steering_error.h"
#include "steerlm/report/json_number.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr double undefined = std::numeric_limits<double>::quiet_NaN();

bool leaves_out_zero(const Interval& interval) { return interval.low > 0 || interval.high < 0; }

// An attribute that has the name of a figure is not named twice.
bool is_named(const DialTable& table, size_t m) {
  return std::ranges::find(table.measures, table.measures[m]) - table.measures.begin() ==
         static_cast<std::ptrdiff_t>(m);
}

Json matrix_json(const DialTable& table) {
  Json json = Json::object();
  for (const DialRow& row : table.rows) {
    for (size_t m = 0; m < table.measures.size(); ++m) {
      if (!is_named(table, m)) continue;
      json[row.name][table.measures[m]] = {{"effect", number_or_null(row.effect[m])},
                                           {"interval", interval_json(row.effect_interval[m])},
                                           {"effect_in_spreads", number_or_null(row.effect[m] / table.spread[m])}};
    }
  }
  return json;
}

// Effects in standard deviations within a level, which all measures share.
std::string matrix_text(const DialTable& table) {
  std::vector<std::vector<std::string>> rows{{"dial"}};
  for (size_t m = 0; m < table.measures.size(); ++m) {
    if (is_named(table, m)) rows[0].push_back(table.measures[m]);
  }
  for (const DialRow& row : table.rows) {
    rows.push_back({row.name});
    for (size_t m = 0; m < table.measures.size(); ++m) {
      if (!is_named(table, m)) continue;
      const double effect = row.effect[m] / table.spread[m];
      std::string cell = std::isfinite(effect) ? format_number(effect, 2) : "–";
      if (row.own == static_cast<int>(m)) cell = "[" + cell + "]";
      if (leaves_out_zero(row.effect_interval[m])) cell += " *";
      rows.back().push_back(std::move(cell));
    }
  }
  return "steerability matrix: what turning a dial from its first to its last level does to each measure, in its "
         "standard deviations within a level; [the dial's own], * the 95 % interval leaves out 0\n" +
         format_table(rows) + "\n";
}

// The answers to one dial and level.
struct LevelAnswers {
  size_t dial = 0;
  int level = 0;
  std::vector<size_t> requests;
};

std::vector<LevelAnswers> levels_of(const Sweep& sweep) {
  std::vector<LevelAnswers> levels;
  for (size_t i = 0; i < sweep.items.size(); ++i) {
    const SweepItem& item = sweep.items[i];
    if (levels.empty() || levels.back().dial != item.dial || levels.back().level != item.level)
      levels.push_back({item.dial, item.level, {}});
    levels.back().requests.push_back(i);
  }
  return levels;
}

Diversity diversity_of(const LevelAnswers& level, const SweepAnswers& answers) {
  std::vector<std::string_view> texts;
  for (const size_t i : level.requests) texts.push_back(answers.results[i].response);
  return diversity(texts);
}

// Over the tokens of all answers of a level; an answer that did not fit into the model's context is counted.
struct LevelLikelihood {
  ResponseLikelihood all;
  std::int64_t too_long = 0;
};

LevelLikelihood likelihood_of(const LevelAnswers& level, const SweepAnswers& answers) {
  LevelLikelihood likelihood;
  for (const size_t i : level.requests) {
    const std::optional<ResponseLikelihood>& one = answers.likelihoods[i];
    likelihood.too_long += one ? 0 : 1;
    if (!one) continue;
    likelihood.all.sum += one->sum;
    likelihood.all.tokens += one->tokens;
  }
  return likelihood;
}

// The spreads over the prompts at a level: of each measure of the table; null where no answer there could be judged.
Json spread_json(const DialTable& table, const std::string& dial, int level) {
  Json json = Json::object();
  const auto row = std::ranges::find(table.rows, dial, &DialRow::name);
  if (row == table.rows.end()) return json;
  const auto at = std::ranges::find(row->levels, level);
  if (at == row->levels.end()) return json;
  for (size_t m = 0; m < table.measures.size(); ++m) {
    if (is_named(table, m))
      json[table.measures[m]] = number_or_null(row->prompt_spread[static_cast<size_t>(at - row->levels.begin())][m]);
  }
  return json;
}

void report_levels(const Sweep& sweep, const SweepAnswers& answers, const DialTable& table,
                   SteerabilityReport& report) {
  const bool perplexity = !answers.likelihoods.empty();
  std::vector<std::vector<std::string>> rows{
      {"dial", "level", "answers", "spread over prompts", "distinct-1", "distinct-2", "repeated"}};
  if (perplexity) rows[0].insert(rows[0].end(), {"tokens", "nats a token", "perplexity"});
  std::int64_t too_long = 0;
  for (const LevelAnswers& level : levels_of(sweep)) {
    const std::string& dial = sweep.dials[level.dial];
    const Diversity variety = diversity_of(level, answers);
    Json json = {{"level", level.level},
                 {"answers", level.requests.size()},
                 {"spread", spread_json(table, dial, level.level)},
                 {"distinct_1", number_or_null(variety.distinct_1)},
                 {"distinct_2", number_or_null(variety.distinct_2)},
                 {"repeated", number_or_null(variety.repeated)}};
    const Json own = json["spread"].value(dial, Json());
    rows.push_back({dial, std::to_string(level.level), format_count(static_cast<std::int64_t>(level.requests.size())),
                    own.is_number() ? format_number(own.get<double>(), 2) : "–", format_number(variety.distinct_1, 3),
                    format_number(variety.distinct_2, 3), format_number(100 * variety.repeated, 0) + " %"});
    if (perplexity) {
      const LevelLikelihood likelihood = likelihood_of(level, answers);
      const double loss = likelihood.all.negative_log_likelihood();
      json["tokens"] = likelihood.all.tokens;
      json["negative_log_likelihood"] = number_or_null(loss);
      json["perplexity"] = number_or_null(std::exp(loss));
      json["too_long"] = likelihood.too_long;
      too_long += likelihood.too_long;
      rows.back().insert(rows.back().end(), {format_count(likelihood.all.tokens), format_number(loss, 3),
                                             format_number(std::exp(loss), 2)});
    }
    report.json["levels"][dial].push_back(std::move(json));
  }
  report.text +=
      "answers of each level: standard deviation of the dial's own measure over the prompts, different words "
      "and pairs of words as shares of all, answers that equal another one\n" +
      format_table(rows);
  if (too_long > 0)
    report.text += fmt::format("{} answers do not fit into the context of the model of the perplexity\n", too_long);
  report.text += "\n";
}

// The answers as points of SteerBench's space; empty where nothing is measured on a scale that the dials have too.
std::vector<SweepPoint> sweep_points(const Sweep& sweep, const Attributes& attributes, const Judgement& judgement) {
  const std::vector<std::string>& space = judgement.measures.attributes;
  std::vector<SweepPoint> points;
  for (size_t i = 0; i < sweep.items.size(); ++i) {
    const SweepItem& item = sweep.items[i];
    const auto own = std::ranges::find(space, sweep.dials[item.dial]);
    points.push_back({.request = static_cast<size_t>(sweep.requests[i].key),
                      .measured = judgement.scaled[i],
                      .attribute = static_cast<size_t>(own - space.begin()),
                      .asked = static_cast<double>(item.level - attributes.min) / (attributes.max - attributes.min),
                      .at_defaults = item.level == attributes.defaults[item.dial]});
    // A response that could not be judged is nowhere.
    if (points.back().measured.empty()) points.back().measured.assign(space.size(), undefined);
  }
  return points;
}

Json figure_json(const SteeringFigure& figure) {
  return {{"median", number_or_null(figure.median)},
          {"lower_quartile", number_or_null(figure.lower_quartile)},
          {"upper_quartile", number_or_null(figure.upper_quartile)},
          {"requests", figure.count}};
}

std::string figure_text(const SteeringFigure& figure) {
  if (std::isnan(figure.median)) return "–";
  return fmt::format("{} ({} to {})", format_number(figure.median, 3), format_number(figure.lower_quartile, 3),
                     format_number(figure.upper_quartile, 3));
}

Json errors_json(const std::vector<SteeringRequest>& requests) {
  const SteeringErrors errors = steering_errors(requests);
  return {{"requests", requests.size()},
          {"error", figure_json(errors.error)},
          {"miscalibration", figure_json(errors.miscalibration)},
          {"side_effect", figure_json(errors.side_effect)}};
}

std::vector<std::string> errors_row(const std::string& name, const std::vector<SteeringRequest>& requests) {
  const SteeringErrors errors = steering_errors(requests);
  return {name, format_count(static_cast<std::int64_t>(requests.size())), figure_text(errors.error),
          figure_text(errors.miscalibration), figure_text(errors.side_effect)};
}

void report_steering(const Sweep& sweep, const Attributes& attributes, const Judgement& judgement,
                     const DialTable& table, SteerabilityReport& report) {
  const std::vector<std::optional<SteeringRequest>> requests =
      steering_requests(sweep_points(sweep, attributes, judgement));
  std::vector<SteeringRequest> all;
  for (const auto& request : requests) {
    if (request) all.push_back(*request);
  }
  Json& json = report.json["steering"] = errors_json(all);
  json["attributes"] = judgement.measures.attributes;
  json["dials"] = Json::object();
  std::vector<std::vector<std::string>> rows{{"dial", "requests", "steering error", "miscalibration", "side effect"}};
  for (const DialRow& row : table.rows) {
    std::vector<SteeringRequest> own;
    for (size_t i = 0; i < requests.size(); ++i) {
      if (requests[i] && sweep.dials[sweep.items[i].dial] == row.name) own.push_back(*requests[i]);
    }
    json["dials"][row.name] = errors_json(own);
    if (!own.empty()) rows.push_back(errors_row(row.name, own));
  }
  if (all.empty()) {
    report.text +=
        "no steering errors: they need, on a scale of levels, what is measured of the answer to the same prompt with "
        "all dials at their defaults; take a default into dials.levels, and of judge text give dials.edges\n";
    return;
  }
  rows.push_back(errors_row("all", all));
  report.text +=
      "steering errors of SteerBench, median (quartiles), from the answers with all dials at their defaults, "
      "each attribute scaled to 0 to 1\n" +
      format_table(rows);
}

}  // namespace

SteerabilityReport report_steerability(const Sweep& sweep, const Attributes& attributes, const SweepAnswers& answers,
                                       const DialTable& table) {
  SteerabilityReport report;
  report.json["matrix"] = matrix_json(table);
  report.text = matrix_text(table);
  report_levels(sweep, answers, table, report);
  report_steering(sweep, attributes, answers.judgement, table, report);
  return report;
}

}  // namespace steerlm
