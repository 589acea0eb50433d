// What each dial does: requested level against measured mean.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "stages/report_sections.h"
#include "steerlm/eval/intervals.h"
#include "steerlm/report/html_table.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

// A dial of evaluation.json.
struct Dial {
  std::string name;
  const Json* json = nullptr;  // levels, slope, spearman, own_…
};

std::vector<Dial> dials_of(const ReportRun& run) {
  std::vector<Dial> dials;
  if (!run.evaluation.is_object() || !run.evaluation.contains("dials")) return dials;
  for (const auto& [name, dial] : run.evaluation["dials"].items()) {
    const bool whole = dial.is_object() && dial.contains("levels") && dial["levels"].is_array() &&
                       !dial["levels"].empty() && dial.contains("slope") && dial["slope"].is_object();
    if (whole) dials.push_back({name, &dial});
  }
  return dials;
}

double number(const Json& json, const std::string& key) {
  return json.contains(key) && json[key].is_number() ? json[key].get<double>() : no_number;
}

std::vector<std::string> measures_of(const Dial& dial) {
  std::vector<std::string> names;
  for (const auto& [name, slope] : (*dial.json)["slope"].items()) names.push_back(name);
  return names;
}

// The measures that a dial is drawn by: that of its own name, else all that have a unit of their own.
std::vector<std::string> drawn_measures(const ReportRun& run, const Dial& dial) {
  std::vector<std::string> names = measures_of(dial);
  if (std::ranges::find(names, dial.name) != names.end()) return {dial.name};
  std::erase_if(names, [&](const std::string& name) { return !run.figures.contains(name); });
  return names;
}

// Means of a measure over the levels, with the intervals that the answers give.
std::vector<PlotPoint> level_means(const ReportRun& run, const Dial& dial, const std::string& measure) {
  std::map<double, Moments> answers;  // by level
  for (const SweepAnswer& answer : run.answers) {
    const auto found = answer.measured.find(measure);
    if (answer.dial == dial.name && found != answer.measured.end() && std::isfinite(found->second))
      answers[static_cast<double>(answer.level)].add(found->second);
  }
  std::vector<PlotPoint> points;
  for (const Json& level : (*dial.json)["levels"]) {
    PlotPoint point{.x = number(level, "level"), .y = number(level, measure)};
    if (!std::isfinite(point.x)) continue;
    const double half = answers[point.x].half_width();
    point.low = point.y - half;
    point.high = point.y + half;
    points.push_back(point);
  }
  return points;
}

bool has_dials_of(const ReportRun& run) { return !dials_of(run).empty(); }

std::vector<const ReportRun*> swept(ReportRuns runs) {
  std::vector<const ReportRun*> found;
  for (const ReportRun& run : runs) {
    if (has_dials_of(run)) found.push_back(&run);
  }
  return found;
}

// Dial and measure of the plots, in the order in which the runs have them.
std::vector<std::pair<std::string, std::string>> plots_of(const std::vector<const ReportRun*>& runs) {
  std::vector<std::pair<std::string, std::string>> plots;
  for (const ReportRun* run : runs) {
    for (const Dial& dial : dials_of(*run)) {
      for (const std::string& measure : drawn_measures(*run, dial)) {
        const std::pair plot{dial.name, measure};
        if (std::ranges::find(plots, plot) == plots.end()) plots.push_back(plot);
      }
    }
  }
  return plots;
}

void write_dial_plot(HtmlWriter& page, const std::string& name, const std::string& measure,
                     const std::vector<const ReportRun*>& runs) {
  const bool own = name == measure;
  LinePlot plot{.title = own ? "Dial " + name : "Dial " + name + ", " + measure,
                .description = "Mean " + measure + " of the answers at each level that was asked of the dial " + name +
                               ", with 95 % intervals. The table below has the numbers.",
                .x_label = "requested level of " + name,
                .y_label = "measured " + measure,
                .markers = true,
                .diagonal = own};
  for (size_t r = 0; r < runs.size(); ++r) {
    for (const Dial& dial : dials_of(*runs[r])) {
      const std::vector<std::string> drawn = drawn_measures(*runs[r], dial);
      if (dial.name == name && std::ranges::find(drawn, measure) != drawn.end())
        plot.series.push_back({runs[r]->name, r, level_means(*runs[r], dial, measure)});
    }
  }
  open_figure(page, plot.title);
  write_plot(page, plot);
  close_figure(page, own ? "Dotted: the measured mean is the level that was asked for." : "");
}

Interval slope_interval(const Json& dial) {
  const Json interval = dial.value("own_slope_interval", Json());
  if (!interval.is_array() || interval.size() != 2 || !interval[0].is_number() || !interval[1].is_number())
    return {no_number, no_number};
  return {interval[0].get<double>(), interval[1].get<double>()};
}

void write_dial_table(HtmlWriter& page, const ReportRun& run) {
  std::vector<std::vector<std::string>> rows{{"dial", "measure"}};
  const std::vector<Dial> dials = dials_of(run);
  // A level of which no answer could be judged is not in the file.
  std::set<double> levels;
  for (const Dial& dial : dials) {
    for (const PlotPoint& point : level_means(run, dial, dial.name)) levels.insert(point.x);
  }
  for (double level : levels) rows[0].push_back("at " + format_number(level, 0));
  rows[0].insert(rows[0].end(), {"Spearman", "slope", "95 % of slope", "side effect"});
  for (const Dial& dial : dials) {
    for (const std::string& measure : drawn_measures(run, dial)) {
      const bool own = dial.name == measure;
      std::vector<std::string> cells{dial.name, measure};
      const std::vector<PlotPoint> means = level_means(run, dial, measure);
      for (double level : levels) {
        const auto point = std::ranges::find(means, level, &PlotPoint::x);
        cells.push_back(point == means.end() ? "–" : format_number(point->y, 2));
        if (point != means.end() && std::isfinite(point->high))
          cells.back() += " ± " + format_number(point->high - point->y, 2);
      }
      const Interval interval = slope_interval(*dial.json);
      // Where the slope may be nothing, so may what the share is a share of.
      const double share = interval.low > 0 || interval.high < 0 ? number(*dial.json, "side_share") : no_number;
      cells.push_back(format_number(number(dial.json->value("spearman", Json::object()), measure), 3));
      cells.push_back(format_number(number((*dial.json)["slope"], measure), 3));
      cells.push_back(own && std::isfinite(interval.low)
                          ? format_number(interval.low, 2) + " to " + format_number(interval.high, 2)
                          : "–");
      cells.push_back(own && std::isfinite(share) ? format_number(100 * share, 0) + " %" : "–");
      rows.push_back(std::move(cells));
    }
  }
  write_table(page, "Dials of " + run.name, rows);
}

}  // namespace

bool has_dials(ReportRuns runs) { return std::ranges::any_of(runs, has_dials_of); }

void write_dials(HtmlWriter& page, ReportRuns runs) {
  const std::vector<const ReportRun*> found = swept(runs);
  page.element(
      "p",
      "One dial at a time is set to each of its levels, the others stay at their defaults, and the answers are "
      "measured. A dial works where its line rises. Bars are 95 % intervals of the mean (normal approximation "
      "over the answers); for the slope they are bootstrapped. The side effect is the mean change of the other "
      "attributes as a share of the change of the dial's own; it is left out where the slope's interval "
      "holds 0. Data: evaluation.json and answers.jsonl of each run.");
  std::vector<std::string> names;
  for (const ReportRun* run : found) names.push_back(run->name);
  write_legend(page, names);
  page.open("div", {{"class", "plots"}});
  for (const auto& [dial, measure] : plots_of(found)) write_dial_plot(page, dial, measure, found);
  page.close("div");
  for (const ReportRun* run : found) write_dial_table(page, *run);
}

}  // namespace steerlm
