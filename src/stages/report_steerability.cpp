// Every dial against every measure, SteerBench's steering errors, and the answers of each level.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "stages/report_sections.h"
#include "steerlm/report/html_table.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr double full_shade = 3;  // standard deviations within a level

// The paler the smaller; blue for more, orange for less. Black text on it keeps a contrast above 7.
std::string shade(double in_spreads) {
  if (!std::isfinite(in_spreads)) return "";
  const double strength = 0.5 * std::min(1.0, std::abs(in_spreads) / full_shade);
  const auto mix = [&](int part) { return static_cast<int>(std::lround(255 + strength * (part - 255))); };
  return in_spreads >= 0 ? fmt::format("background:rgb({},{},{})", mix(11), mix(95), mix(165))
                         : fmt::format("background:rgb({},{},{})", mix(217), mix(95), mix(2));
}

std::string with_sign(double value) { return (value > 0 ? "+" : "") + format_number(value, 2); }

void write_matrix(HtmlWriter& page, const ReportRun& run) {
  const std::vector<SteerabilityFigures::Dial>& dials = run.steerability->matrix;
  open_table(page, "Effect of each dial on each measure, " + run.name, "matrix");
  page.open("thead");
  page.open("tr");
  page.element("th", "dial", {{"scope", "col"}});
  for (const SteerabilityFigures::Effect& cell : dials.front().effects)
    page.element("th", cell.measure, {{"scope", "col"}, {"class", "number"}});
  page.close("tr");
  page.close("thead");
  page.open("tbody");
  for (const SteerabilityFigures::Dial& dial : dials) {
    page.open("tr");
    page.element("th", dial.name, {{"scope", "row"}});
    for (const SteerabilityFigures::Effect& cell : dial.effects) {
      page.open("td",
                {{"class", dial.name == cell.measure ? "number own" : "number"}, {"style", shade(cell.in_spreads)}});
      page.text(with_sign(cell.effect));
      if (std::isfinite(cell.interval.low)) {
        page.element("span", with_sign(cell.interval.low) + " to " + with_sign(cell.interval.high),
                     {{"class", "note"}});
      }
      page.close("td");
    }
    page.close("tr");
  }
  page.close("tbody");
  close_table(page);
}

std::string figure_text(const SteeringFigure& figure) {
  if (std::isnan(figure.median)) return "–";
  return fmt::format("{} ({} to {})", format_number(figure.median, 3), format_number(figure.lower_quartile, 3),
                     format_number(figure.upper_quartile, 3));
}

void write_steering(HtmlWriter& page, const ReportRun& run) {
  if (run.steerability->steering.empty()) return;
  std::vector<std::vector<std::string>> rows{{"dial", "requests", "steering error", "miscalibration", "side effect"}};
  for (const SteerabilityFigures::Steering& row : run.steerability->steering) {
    rows.push_back({row.dial, format_count(row.requests), figure_text(row.errors.error),
                    figure_text(row.errors.miscalibration), figure_text(row.errors.side_effect)});
  }
  write_table(page, "Steering errors of " + run.name, rows);
}

void write_levels(HtmlWriter& page, const ReportRun& run) {
  const bool perplexity = !run.steerability->perplexity_model.empty();
  std::vector<std::vector<std::string>> rows{
      {"dial", "level", "answers", "spread over prompts", "distinct-1", "distinct-2", "repeated"}};
  if (perplexity) rows[0].insert(rows[0].end(), {"nats a token", "perplexity"});
  for (const SteerabilityFigures::Level& level : run.steerability->levels) {
    rows.push_back({level.dial, std::to_string(level.level), format_count(level.answers),
                    format_number(level.spread, 2), format_number(level.distinct_1, 3),
                    format_number(level.distinct_2, 3), format_number(100 * level.repeated, 0) + " %"});
    if (perplexity)
      rows.back().insert(rows.back().end(), {format_number(level.loss, 3), format_number(level.perplexity, 2)});
  }
  write_table(page, "Answers of each level, " + run.name, rows);
  if (perplexity) {
    page.element("p",
                 "Perplexity of " + run.name + ": under " + run.steerability->perplexity_model +
                     ", with the template " + run.steerability->perplexity_template + ".",
                 {{"class", "note"}});
  }
}

bool has_matrix(const ReportRun& run) { return run.steerability && !run.steerability->matrix.empty(); }

}  // namespace

bool has_steerability(ReportRuns runs) { return std::ranges::any_of(runs, has_matrix); }

void write_steerability(HtmlWriter& page, ReportRuns runs) {
  page.element(
      "p",
      "A row is the dial that was turned, a column what was measured; the number is the slope times the span of the "
      "levels, so what turning the dial from its first to its last level does, with its bootstrapped 95 % interval. "
      "Framed: the dial's own attribute. The other cells of a row should be near 0. Blue is more, orange is less; the "
      "shade is the effect in standard deviations of the measure within a level, full from " +
          format_number(full_shade, 0) + " on.");
  page.element(
      "p",
      "Steering errors are SteerBench's (Chang et al. 2025), as median and quartiles over the answers, with every "
      "attribute scaled to 0 to 1: how far the answer is from what was asked for, how much too far or too short it "
      "went "
      "in that direction, and which share of its way went aside. They are counted from the answer to the same prompt "
      "with "
      "all dials at their defaults. The spread is the standard deviation of the dial's own measure over the prompts of "
      "one level; distinct-1 and distinct-2 are the shares of different words and pairs of words (Li et al. 2016), "
      "which "
      "fall with the length of the answers; repeated are answers that equal another one of their level. Data: "
      "evaluation.json of each run.");
  for (const ReportRun& run : runs) {
    if (!has_matrix(run)) continue;
    write_matrix(page, run);
    write_steering(page, run);
    write_levels(page, run);
  }
}

}  // namespace steerlm
