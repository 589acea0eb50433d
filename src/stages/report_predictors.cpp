// How well predictors agree with given labels: figures beside those of the mean, calibration, and how labels are
// spread.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "stages/report_sections.h"
#include "steerlm/report/html_table.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

bool has_predictor_figures(const ReportRun& run) {
  return run.evaluation.is_object() && run.evaluation.contains("predictor") && run.evaluation["predictor"].is_object();
}

// The attributes that a training validates on, by their names.
std::vector<std::string> validated_attributes(const ReportRun& run) {
  constexpr std::string_view prefix = "validation/mae/";
  std::vector<std::string> names;
  for (const auto& [key, points] : run.metrics) {
    if (key.starts_with(prefix)) names.push_back(key.substr(prefix.size()));
  }
  return names;
}

bool has_calibration(const ReportRun& run) {
  return std::ranges::any_of(run.annotated, [](const AnnotatedAttribute& row) { return row.calibration.count() > 0; });
}

bool has_labels_of(const ReportRun& run) { return !run.annotated.empty(); }

double calibration_error(const ReportRun& run, const std::string& attribute) {
  const auto curve = std::ranges::find(run.reliability, attribute, &ReliabilityCurve::attribute);
  return curve == run.reliability.end() ? no_number : curve->expected_error;
}

void add_evaluation_rows(const ReportRun& run, std::vector<std::vector<std::string>>& rows) {
  for (const auto& entry : run.evaluation["predictor"].items()) {
    const Json& figures = entry.value();
    const auto text = [&](const char* key, int decimals) {
      const Json value = figures.is_object() ? figures.value(key, Json()) : Json();
      return format_number(value.is_number() ? value.get<double>() : no_number, decimals);
    };
    const Json ratings = figures.is_object() ? figures.value("count", Json()) : Json();
    const std::string count = ratings.is_number_integer() ? format_count(ratings.get<std::int64_t>()) : "–";
    rows.push_back({run.name, entry.key(), "evaluation", count, text("mae", 3), text("mean_mae", 3), text("rmse", 3),
                    text("mean_rmse", 3), text("pearson", 3), text("exact", 3), text("within_one", 3), text("kappa", 3),
                    format_number(calibration_error(run, entry.key()), 3)});
  }
}

void add_validation_rows(const ReportRun& run, std::vector<std::vector<std::string>>& rows) {
  for (const std::string& name : validated_attributes(run)) {
    const auto text = [&](const char* metric) {
      return format_number(validation_figure(run, fmt::format("validation/{}/{}", metric, name)), 3);
    };
    const auto step = validated_step(run);
    rows.push_back({run.name, name, step ? fmt::format("validation, step {}", *step) : "validation", "–", text("mae"),
                    "–", text("rmse"), "–", text("pearson"), text("exact"), text("within_one"), text("kappa"), "–"});
  }
}

// Sums over the bins of an attribute.
struct Agreement {
  std::int64_t count = 0;
  double score = 0, given = 0;                          // means
  double mae = 0, mean_mae = 0, calibration_error = 0;  // mean_mae: of the mean label, said of every turn
};

Agreement agreement_of(const AnnotatedAttribute& row) {
  Agreement sums;
  for (const auto& [rounded, bin] : row.calibration.bins()) {
    sums.score += bin.scores.sum;
    sums.given += bin.labels.sum;
  }
  sums.count = row.calibration.count();
  const double n = static_cast<double>(sums.count);
  sums.score /= n;
  sums.given /= n;
  for (const auto& [value, count] : row.given)
    sums.mean_mae += static_cast<double>(count) * std::abs(value - sums.given) / n;
  sums.mae = row.absolute_error / n;
  sums.calibration_error = row.calibration.expected_error();
  return sums;
}

// The bins of an attribute, in the order of their scores.
std::vector<PlotPoint> curve_of(const Calibration& calibration) {
  std::vector<PlotPoint> points;
  for (const auto& [rounded, bin] : calibration.bins()) {
    const double half = bin.labels.half_width(), mean = bin.labels.mean();
    points.push_back({bin.scores.mean(), mean, mean - half, mean + half});
  }
  return points;
}

std::vector<PlotPoint> curve_of(const ReliabilityCurve& curve) {
  std::vector<PlotPoint> points;
  for (const ReliabilityCurve::Bin& bin : curve.bins)
    points.push_back({bin.score, bin.label, bin.interval.low, bin.interval.high});
  return points;
}

void write_curves(HtmlWriter& page, const std::string& title, const std::string& attribute,
                  std::vector<PlotSeries> series) {
  LinePlot plot{.title = title,
                .description =
                    "Mean given label against the mean predicted score, with 95 % intervals; answers are put "
                    "together whose score is rounded to the same integer.",
                .x_label = "mean predicted " + attribute,
                .y_label = "mean given " + attribute,
                .series = std::move(series),
                .markers = true,
                .diagonal = true};
  open_figure(page, plot.title);
  write_plot(page, plot);
  close_figure(page, "Dotted: the given labels are what the predictor says.");
}

// The reliability curves of `evaluate`, on records that have labels.
void write_reliability(HtmlWriter& page, ReportRuns runs) {
  std::vector<const ReportRun*> found;
  std::vector<std::string> names, attributes;
  std::vector<std::vector<std::string>> rows{
      {"run", "attribute", "ratings", "mean score", "mean label", "95 % of mean label"}};
  for (const ReportRun& run : runs) {
    if (run.reliability.empty()) continue;
    found.push_back(&run);
    names.push_back(run.name);
    for (const ReliabilityCurve& curve : run.reliability) {
      if (std::ranges::find(attributes, curve.attribute) == attributes.end()) attributes.push_back(curve.attribute);
      for (const ReliabilityCurve::Bin& bin : curve.bins) {
        const bool interval = std::isfinite(bin.interval.low);
        rows.push_back(
            {run.name, curve.attribute, format_count(bin.count), format_number(bin.score, 2),
             format_number(bin.label, 2),
             interval ? format_number(bin.interval.low, 2) + " to " + format_number(bin.interval.high, 2) : "–"});
      }
    }
  }
  if (found.empty()) return;
  page.element("h3", "Reliability on labelled records");
  page.element(
      "p",
      "The records that `evaluate` was given, bin by bin. A predictor is calibrated where its points lie on the "
      "dotted line; the calibration error above is their mean distance from it, weighted by their ratings. "
      "Data: calibration in evaluation.json of each run.");
  write_legend(page, names);
  page.open("div", {{"class", "plots"}});
  for (const std::string& attribute : attributes) {
    std::vector<PlotSeries> series;
    for (size_t r = 0; r < found.size(); ++r) {
      for (const ReliabilityCurve& curve : found[r]->reliability) {
        if (curve.attribute == attribute && !curve.bins.empty()) series.push_back({found[r]->name, r, curve_of(curve)});
      }
    }
    if (!series.empty()) write_curves(page, "Reliability of " + attribute, attribute, std::move(series));
  }
  page.close("div");
  write_table(page, "Reliability", rows);
}

void write_calibration(HtmlWriter& page, ReportRuns runs) {
  std::vector<const ReportRun*> found;
  std::vector<std::string> names, attributes;
  std::vector<std::vector<std::string>> rows{{"run", "attribute", "turns", "mean score", "mean label", "MAE",
                                              "MAE of the mean", "expected calibration error"}};
  for (const ReportRun& run : runs) {
    if (!has_calibration(run)) continue;
    found.push_back(&run);
    names.push_back(run.name);
    for (const AnnotatedAttribute& row : run.annotated) {
      if (row.calibration.count() == 0) continue;
      if (std::ranges::find(attributes, row.name) == attributes.end()) attributes.push_back(row.name);
      const Agreement sums = agreement_of(row);
      rows.push_back({run.name, row.name, format_count(sums.count), format_number(sums.score, 2),
                      format_number(sums.given, 2), format_number(sums.mae, 3), format_number(sums.mean_mae, 3),
                      format_number(sums.calibration_error, 3)});
    }
  }
  if (found.empty()) return;
  page.element("h3", "Calibration on annotated data");
  page.element(
      "p",
      "The turns of annotated data that had a label before (gt_label), as a rule from people. Where the predictor was "
      "trained on them it looks better than it is. The expected calibration error is the mean distance of score "
      "and label over the bins of the plots, weighted by their turns. Data: scores and gt_label of the "
      "annotated records.");
  write_legend(page, names);
  page.open("div", {{"class", "plots"}});
  for (const std::string& attribute : attributes) {
    std::vector<PlotSeries> series;
    for (size_t r = 0; r < found.size(); ++r) {
      for (const AnnotatedAttribute& row : found[r]->annotated) {
        if (row.name == attribute && row.calibration.count() > 0)
          series.push_back({found[r]->name, r, curve_of(row.calibration)});
      }
    }
    write_curves(page, "Calibration of " + attribute, attribute, std::move(series));
  }
  page.close("div");
  write_table(page, "Agreement on the annotated turns", rows);
}

// Every value of a range that can be drawn bar by bar, else those that occur.
std::vector<int> values_of(const AnnotatedAttribute& row) {
  std::set<int> values;
  for (const auto* counts : {&row.written, &row.given}) {
    for (const auto& [value, count] : *counts) values.insert(value);
  }
  constexpr int most = 32;
  if (!values.empty() && *values.rbegin() - *values.begin() < most) {
    for (int value = *values.begin(); value < *values.rbegin(); ++value) values.insert(value);
  }
  return {values.begin(), values.end()};
}

// Of those that have a value of the attribute, in per cent.
std::vector<double> shares(const std::map<int, std::int64_t>& counts, const std::vector<int>& values) {
  double total = 0;
  for (const auto& [value, count] : counts) total += static_cast<double>(count);
  std::vector<double> share;
  for (int value : values)
    share.push_back(counts.contains(value) ? 100 * static_cast<double>(counts.at(value)) / total : 0);
  return share;
}

void write_label_plots(HtmlWriter& page, const ReportRun& run) {
  page.element("h3", run.name);
  write_bar_legend(page, {"written by the annotation", "given before"});
  page.open("div", {{"class", "plots"}});
  std::vector<std::vector<std::string>> rows{{"attribute", "labels of", "turns", "mean"}};
  std::set<int> columns;
  for (const AnnotatedAttribute& row : run.annotated) {
    for (int value : values_of(row)) columns.insert(value);
  }
  for (int value : columns) rows[0].push_back("at " + std::to_string(value));
  for (const AnnotatedAttribute& row : run.annotated) {
    const std::vector<int> values = values_of(row);
    BarPlot plot{.title = "Labels of " + row.name,
                 .description = "Share of the assistant turns that have each label; the table below has the numbers.",
                 .x_label = row.name,
                 .y_label = "% of the turns"};
    for (int value : values) plot.categories.push_back(std::to_string(value));
    plot.series.push_back({"written", shares(row.written, values)});
    if (!row.given.empty()) plot.series.push_back({"given", shares(row.given, values)});
    open_figure(page, plot.title);
    write_bars(page, plot);
    close_figure(page, "");
    for (const auto& [kind, counts] : {std::pair{"annotation", &row.written}, std::pair{"data, before", &row.given}}) {
      std::int64_t total = 0;
      double sum = 0;
      for (const auto& [value, count] : *counts) {
        total += count;
        sum += static_cast<double>(value) * static_cast<double>(count);
      }
      if (total == 0) continue;
      std::vector<std::string> cells{row.name, kind, format_count(total),
                                     format_number(sum / static_cast<double>(total), 2)};
      for (int value : columns) cells.push_back(format_count(counts->contains(value) ? counts->at(value) : 0));
      rows.push_back(std::move(cells));
    }
  }
  page.close("div");
  write_table(page, "Label counts, " + run.name, rows);
}

}  // namespace

bool has_predictors(ReportRuns runs) {
  return std::ranges::any_of(runs, [](const ReportRun& run) {
    return has_predictor_figures(run) || !validated_attributes(run).empty() || has_calibration(run);
  });
}

void write_predictors(HtmlWriter& page, ReportRuns runs) {
  std::vector<std::vector<std::string>> rows{{"run", "attribute", "measured in", "ratings", "MAE", "MAE of the mean",
                                              "RMSE", "RMSE of the mean", "Pearson", "exact", "within 1", "kappa",
                                              "calibration error"}};
  for (const ReportRun& run : runs) {
    add_validation_rows(run, rows);
    if (has_predictor_figures(run)) add_evaluation_rows(run, rows);
  }
  if (rows.size() > 1) {
    page.element(
        "p",
        "Predicted scores against ratings, in points of the scale. \"Of the mean\" is the baseline that says the "
        "mean rating of every answer: a predictor is worth something where its error is below it. Exact and "
        "within 1 are shares of the rounded scores; kappa has quadratic weights. Data: evaluation.json and "
        "metrics.jsonl of each run.");
    write_table(page, "Predictors", rows);
  }
  write_reliability(page, runs);
  write_calibration(page, runs);
}

bool has_labels(ReportRuns runs) { return std::ranges::any_of(runs, has_labels_of); }

void write_labels(HtmlWriter& page, ReportRuns runs) {
  page.element("p",
               "How the labels of the assistant turns are spread after annotation, beside those that the data "
               "had before (where there were any). Data: label and gt_label of the annotated records.");
  for (const ReportRun& run : runs) {
    if (has_labels_of(run)) write_label_plots(page, run);
  }
}

}  // namespace steerlm
