// The answers of the dial sweeps themselves: how long they are, and what they say at each level.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "stages/report_sections.h"
#include "steerlm/report/html_table.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr size_t most_characters = 600;  // of a text that is shown
constexpr size_t prompts_shown = 2;      // for each dial
constexpr size_t most_bins = 20;

std::vector<const ReportRun*> answering(ReportRuns runs) {
  std::vector<const ReportRun*> found;
  for (const ReportRun& run : runs) {
    if (!run.answers.empty()) found.push_back(&run);
  }
  return found;
}

std::vector<double> sorted_lengths(const ReportRun& run) {
  std::vector<double> lengths;
  for (const SweepAnswer& answer : run.answers)
    lengths.push_back(static_cast<double>(count_code_points(answer.response)));
  std::ranges::sort(lengths);
  return lengths;
}

void write_lengths(HtmlWriter& page, const std::vector<const ReportRun*>& runs) {
  // Up to where 99 % of each run's answers end; the last bin has the longer ones too. A bin is a character at least.
  double drawn = most_bins;
  std::vector<std::string> names;
  std::vector<std::vector<double>> lengths;
  std::vector<std::vector<std::string>> rows{{"run", "answers", "not judged", "mean", "median", "longest"}};
  for (const ReportRun* run : runs) {
    lengths.push_back(sorted_lengths(*run));
    names.push_back(run->name);
    const std::vector<double>& sorted = lengths.back();
    drawn = std::max(drawn, sorted[sorted.size() - 1 - sorted.size() / 100]);
    double sum = 0;
    for (double length : sorted) sum += length;
    const double count = static_cast<double>(sorted.size());
    const double median = (sorted[(sorted.size() - 1) / 2] + sorted[sorted.size() / 2]) / 2;
    const auto unjudged = std::ranges::count_if(run->answers, [](const SweepAnswer& a) { return a.measured.empty(); });
    rows.push_back({run->name, format_count(static_cast<std::int64_t>(sorted.size())), format_count(unjudged),
                    format_number(sum / count, 1), format_number(median, 1), format_number(sorted.back(), 0)});
  }
  const std::vector<double> ticks = make_axis(0, drawn, most_bins).ticks;
  const double bin = ticks[1] - ticks[0];
  const auto bins = static_cast<size_t>(std::floor(drawn / bin)) + 1;
  LinePlot plot{.title = "Length of the answers",
                .description = fmt::format("Share of the answers in bins of {} characters.", tick_text(bin)),
                .x_label = "characters of the answer",
                .y_label = "% of the answers"};
  for (size_t r = 0; r < runs.size(); ++r) {
    std::vector<double> counts(bins, 0.0);
    for (double length : lengths[r]) counts[std::min(bins - 1, static_cast<size_t>(length / bin))] += 1;
    PlotSeries series{names[r], r, {{.x = 0, .y = 0}}};
    for (size_t b = 0; b < bins; ++b) {
      const double share = 100 * counts[b] / static_cast<double>(lengths[r].size());
      series.points.push_back({.x = bin * static_cast<double>(b), .y = share});
      series.points.push_back({.x = bin * static_cast<double>(b + 1), .y = share});
    }
    series.points.push_back({.x = bin * static_cast<double>(bins), .y = 0});
    plot.series.push_back(std::move(series));
  }
  page.element("h3", plot.title);
  write_legend(page, names);
  open_figure(page, plot.title);
  write_plot(page, plot);
  close_figure(page, plot.description +
                         " All dials and levels together; the last bin has all longer answers too. Data: response in "
                         "answers.jsonl of each run.");
  write_table(page, "Lengths in characters", rows);
}

const SweepAnswer* find_answer(const ReportRun& run, const std::string& dial, const std::string& prompt,
                               std::int64_t level) {
  const auto found = std::ranges::find_if(run.answers, [&](const SweepAnswer& answer) {
    return answer.dial == dial && answer.prompt == prompt && answer.level == level && answer.sample == 0;
  });
  return found == run.answers.end() ? nullptr : &*found;
}

// The first prompts of each dial, in the order of the answers.
std::vector<std::pair<std::string, std::string>> shown_prompts(const std::vector<const ReportRun*>& runs) {
  std::vector<std::pair<std::string, std::string>> shown;  // dial and prompt
  for (const ReportRun* run : runs) {
    for (const SweepAnswer& answer : run->answers) {
      const auto of_dial = std::ranges::count_if(shown, [&](const auto& entry) { return entry.first == answer.dial; });
      const std::pair entry{answer.dial, answer.prompt};
      if (static_cast<size_t>(of_dial) < prompts_shown && std::ranges::find(shown, entry) == shown.end())
        shown.push_back(entry);
    }
  }
  return shown;
}

// A text in its own direction, cut where it is long.
void write_sample(HtmlWriter& page, const std::string& text) {
  const std::string_view head = first_code_points(text, most_characters);
  page.element("bdi", head, {{"class", "sample"}});
  if (head.size() < text.size()) {
    page.element("span",
                 fmt::format("… cut after {} of {} characters", most_characters,
                             format_count(static_cast<std::int64_t>(count_code_points(text)))),
                 {{"class", "note"}});
  }
}

void write_answer(HtmlWriter& page, const SweepAnswer& answer) {
  write_sample(page, answer.response);
  if (answer.response.empty()) page.element("span", "(an empty answer)", {{"class", "note"}});
  const auto own = answer.measured.find(answer.dial);
  if (own != answer.measured.end())
    page.element("span", "measured " + answer.dial + ": " + format_number(own->second, 2), {{"class", "note"}});
}

void write_samples_of(HtmlWriter& page, const std::string& dial, const std::string& prompt,
                      const std::vector<const ReportRun*>& runs) {
  std::set<std::int64_t> levels;
  for (const ReportRun* run : runs) {
    for (const SweepAnswer& answer : run->answers) {
      if (answer.dial == dial) levels.insert(answer.level);
    }
  }
  page.open("p", {{"class", "prompt"}});
  page.text("Dial " + dial + ", prompt: ");
  write_sample(page, prompt);
  page.close("p");
  open_table(page, "Answers over the dial " + dial, "samples");
  page.open("thead");
  page.open("tr");
  page.element("th", "run", {{"scope", "col"}});
  for (std::int64_t level : levels) page.element("th", fmt::format("{} {}", dial, level), {{"scope", "col"}});
  page.close("tr");
  page.close("thead");
  page.open("tbody");
  for (const ReportRun* run : runs) {
    page.open("tr");
    page.element("th", run->name, {{"scope", "row"}});
    for (std::int64_t level : levels) {
      page.open("td");
      if (const SweepAnswer* answer = find_answer(*run, dial, prompt, level))
        write_answer(page, *answer);
      else
        page.text("–");
      page.close("td");
    }
    page.close("tr");
  }
  page.close("tbody");
  close_table(page);
}

}  // namespace

bool has_answers(ReportRuns runs) { return !answering(runs).empty(); }

void write_answers(HtmlWriter& page, ReportRuns runs) {
  const std::vector<const ReportRun*> found = answering(runs);
  write_lengths(page, found);
  page.element("h3", "Texts side by side");
  page.element(
      "p", fmt::format("The first answer to the first {} prompts of each dial, level by level, as the model wrote it. "
                       "They are the first ones, not chosen ones. Data: answers.jsonl of each run.",
                       prompts_shown));
  for (const auto& [dial, prompt] : shown_prompts(found)) write_samples_of(page, dial, prompt, found);
}

}  // namespace steerlm
