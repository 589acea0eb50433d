#include "stages/report_figures.h"

namespace steerlm {
namespace {

Interval read_interval(const Json& json) { return {number_or_nan(json.at(0)), number_or_nan(json.at(1))}; }

SteeringFigure read_figure(const Json& json) {
  return {number_or_nan(json.at("median")), number_or_nan(json.at("lower_quartile")),
          number_or_nan(json.at("upper_quartile"))};
}

SteeringErrors read_errors(const Json& json) {
  return {read_figure(json.at("error")), read_figure(json.at("miscalibration")), read_figure(json.at("side_effect"))};
}

SteerabilityFigures::Level read_level(const std::string& dial, const Json& json) {
  return {.dial = dial,
          .level = json.at("level").get<std::int64_t>(),
          .answers = json.at("answers").get<std::int64_t>(),
          .spread = number_or_nan(json.at("spread").value(dial, Json())),
          .distinct_1 = number_or_nan(json.at("distinct_1")),
          .distinct_2 = number_or_nan(json.at("distinct_2")),
          .repeated = number_or_nan(json.at("repeated")),
          .loss = number_or_nan(json.value("negative_log_likelihood", Json())),
          .perplexity = number_or_nan(json.value("perplexity", Json()))};
}

}  // namespace

double number_or_nan(const Json& value) { return value.is_number() ? value.get<double>() : no_number; }

SteerabilityFigures read_steerability(const Json& json) {
  SteerabilityFigures figures;
  for (const auto& [dial, effects] : json.at("matrix").items()) {
    figures.matrix.push_back({dial, {}});
    for (const auto& [measure, cell] : effects.items()) {
      figures.matrix.back().effects.push_back({measure, number_or_nan(cell.at("effect")),
                                               read_interval(cell.at("interval")),
                                               number_or_nan(cell.at("effect_in_spreads"))});
    }
  }
  for (const auto& [dial, levels] : json.at("levels").items()) {
    for (const Json& level : levels) figures.levels.push_back(read_level(dial, level));
  }
  const auto add_steering = [&](const std::string& dial, const Json& errors) {
    const auto requests = errors.at("requests").get<std::int64_t>();
    if (requests > 0) figures.steering.push_back({dial, requests, read_errors(errors)});
  };
  const Json& steering = json.at("steering");
  for (const auto& [dial, errors] : steering.at("dials").items()) add_steering(dial, errors);
  add_steering("all", steering);
  if (json.contains("perplexity_model")) {
    figures.perplexity_model = json["perplexity_model"].at("path").get<std::string>();
    figures.perplexity_template = json["perplexity_model"].at("template").get<std::string>();
  }
  return figures;
}

std::vector<ReliabilityCurve> read_reliability(const Json& predictor) {
  std::vector<ReliabilityCurve> curves;
  for (const auto& [attribute, figures] : predictor.items()) {
    const Json& calibration = figures.at("calibration");
    ReliabilityCurve curve{.attribute = attribute, .expected_error = number_or_nan(calibration.at("expected_error"))};
    for (const Json& bin : calibration.at("bins")) {
      curve.bins.push_back({number_or_nan(bin.at("score")), number_or_nan(bin.at("label")),
                            read_interval(bin.at("interval")), bin.at("count").get<std::int64_t>()});
    }
    curves.push_back(std::move(curve));
  }
  return curves;
}

ExperimentFigures read_experiment(const Json& json) {
  const auto text = [&](const char* key) { return json.at(key).get<std::string>(); };
  ExperimentFigures experiment{.name = text("experiment"),
                               .question = text("question"),
                               .mirrors = text("mirrors"),
                               .shows = text("shows"),
                               .cannot_show = text("cannot_show"),
                               .seeds = json.at("seeds").get<std::int64_t>(),
                               .quick = json.at("quick").get<bool>()};
  for (const Json& row : json.at("measures")) {
    experiment.measures.push_back({.name = row.at("name").get<std::string>(),
                                   .mean = number_or_nan(row.at("mean")),
                                   .interval = read_interval(row.at("interval")),
                                   .paper = number_or_nan(row.value("paper", Json()))});
    for (const Json& value : row.at("values")) experiment.measures.back().values.push_back(number_or_nan(value));
  }
  for (const Json& row : json.at("thresholds"))
    experiment.thresholds.push_back({row.at("expected").get<std::string>(), row.at("outcome").get<std::string>()});
  return experiment;
}

}  // namespace steerlm
