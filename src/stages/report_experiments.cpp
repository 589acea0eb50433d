// The tables of experiments: each figure over the seeds, beside what was expected of it and what a paper reports.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "stages/interval_format.h"
#include "stages/report_sections.h"
#include "steerlm/report/html_table.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

void write_experiment(HtmlWriter& page, const ReportRun& run, const ExperimentFigures& experiment) {
  const std::string title = experiment.name + (experiment.quick ? " (quick)" : "");
  page.element("h3", title + ", " + run.name);
  page.element("p", experiment.question + " After " + experiment.mirrors + ".");
  const bool paper = std::ranges::any_of(experiment.measures, [](const auto& m) { return std::isfinite(m.paper); });
  std::vector<std::vector<std::string>> rows{{"figure"}};
  for (std::int64_t seed = 1; seed <= experiment.seeds; ++seed) rows[0].push_back(fmt::format("seed {}", seed));
  rows[0].insert(rows[0].end(), {"mean", "95 % interval"});
  if (paper) rows[0].push_back("paper");
  for (const ExperimentFigures::Measure& measure : experiment.measures) {
    rows.push_back({measure.name});
    for (const double value : measure.values) rows.back().push_back(format_number(value, 3));
    rows.back().push_back(format_number(measure.mean, 3));
    rows.back().push_back(interval_or_dash(measure.interval, 3));
    if (paper) rows.back().push_back(std::isfinite(measure.paper) ? fmt::format("{:g}", measure.paper) : "");
  }
  write_table(page, "Figures of " + title, rows);
  if (!experiment.thresholds.empty()) {
    std::vector<std::vector<std::string>> expected{{"expected before it was run", "outcome"}};
    for (const ExperimentFigures::Threshold& threshold : experiment.thresholds)
      expected.push_back({threshold.expected, threshold.outcome});
    write_table(page, "Thresholds of " + title, expected);
  }
  page.element("p", "Shows: " + experiment.shows);
  page.element("p", "Cannot show: " + experiment.cannot_show);
}

}  // namespace

bool has_experiments(ReportRuns runs) {
  return std::ranges::any_of(runs, [](const ReportRun& run) { return !run.experiments.empty(); });
}

void write_experiments(HtmlWriter& page, ReportRuns runs) {
  page.element(
      "p",
      "Each figure for every seed, its mean and Student's 95 % interval of the mean over the seeds. What was "
      "expected was written down before the runs; \"missed\" is a result, and \"open\" is what one seed cannot "
      "say. \"paper\" is the figure that a paper reports, on its own scale: it is compared with nothing. Data: "
      "NAME.json in the folder of the experiments.");
  for (const ReportRun& run : runs) {
    for (const ExperimentFigures& experiment : run.experiments) write_experiment(page, run, experiment);
  }
}

}  // namespace steerlm
