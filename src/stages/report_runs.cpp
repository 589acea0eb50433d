// All runs in one table, and of each what it was made from and with.
#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "stages/report_sections.h"
#include "steerlm/eval/intervals.h"
#include "steerlm/report/html_table.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

constexpr size_t most_recipe_characters = 100'000;

std::string anchor(size_t number) { return fmt::format("run-{}", number + 1); }

double last_finite(const ReportRun& run, const std::string& key) {
  const auto found = run.metrics.find(key);
  if (found == run.metrics.end()) return no_number;
  for (auto point = found->second.rbegin(); point != found->second.rend(); ++point) {
    if (std::isfinite(point->y)) return point->y;
  }
  return no_number;
}

double validation(const ReportRun& run, const std::string& key) {
  if (run.evaluation.is_object() && run.evaluation.contains(key) && run.evaluation[key].is_number())
    return run.evaluation[key].get<double>();
  return validation_figure(run, key);
}

// With its step where that is not the last one.
std::string validation_loss_text(const ReportRun& run) {
  const std::string text = format_number(validation(run, "validation/loss"), 4);
  const std::optional<std::int64_t> step = validated_step(run);
  const auto trained = run.metrics.find("train/loss");
  if (!step || trained == run.metrics.end() || static_cast<double>(*step) == trained->second.back().x) return text;
  return text + fmt::format(" at step {}", *step);
}

double median_speed(const ReportRun& run) {
  const auto found = run.metrics.find("train/tokens_per_second");
  if (found == run.metrics.end()) return no_number;
  std::vector<double> values;
  for (const PlotPoint& point : found->second) {
    if (std::isfinite(point.y)) values.push_back(point.y);
  }
  if (values.empty()) return no_number;
  std::ranges::sort(values);
  return quantile(values, 0.5);
}

std::string steps_text(const ReportRun& run) {
  const auto found = run.metrics.find("train/loss");
  return found == run.metrics.end() ? "–" : format_count(static_cast<std::int64_t>(found->second.back().x));
}

// Text, or the JSON of anything else.
std::string value_text(const Json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

void write_list(HtmlWriter& page, const std::vector<std::string>& items) {
  page.open("ul");
  for (const std::string& item : items) page.element("li", item);
  page.close("ul");
}

void write_inputs(HtmlWriter& page, const ReportRun& run) {
  if (!run.environment.is_object() || !run.environment.contains("inputs") || !run.environment["inputs"].is_array())
    return;
  std::vector<std::vector<std::string>> rows{{"input", "bytes", "SHA-256, first 16 digits"}};
  for (const Json& input : run.environment["inputs"]) {
    if (!input.is_object()) continue;
    const Json size = input.value("size", Json());
    rows.push_back({value_text(input.value("path", Json())),
                    size.is_number_integer() ? format_count(size.get<std::int64_t>()) : "–",
                    value_text(input.value("sha256", Json())).substr(0, 16)});
  }
  if (rows.size() > 1) write_table(page, "Inputs of " + run.name, rows);
}

// What done.json counts; the validation is in the tables above.
void write_counts(HtmlWriter& page, const ReportRun& run) {
  if (!run.done.is_object()) return;
  std::vector<std::vector<std::string>> rows{{"done.json", "value"}};
  for (const auto& [key, value] : run.done.items()) {
    if (!key.starts_with("validation/")) rows.push_back({key, value_text(value)});
  }
  if (rows.size() > 1) write_table(page, "Counts of " + run.name, rows);
}

void write_recipe(HtmlWriter& page, const ReportRun& run) {
  if (run.recipe_yaml.empty()) return;
  const std::string_view head = first_code_points(run.recipe_yaml, most_recipe_characters);
  page.element("p", "The recipe with every key that had a say (recipe.yaml); running it gives the same run:");
  page.element("pre", head, {{"tabindex", "0"}, {"role", "region"}, {"aria-label", "Recipe of " + run.name}});
  if (head.size() < run.recipe_yaml.size())
    page.element("p", "… cut here; " + file_of(run, "recipe.yaml") + " has all of it.", {{"class", "note"}});
}

}  // namespace

void write_summary(HtmlWriter& page, ReportRuns runs) {
  page.element("p",
               "One row a run. The training loss is that of the last step. What validation says is of the weights in "
               "model/, with checkpoint.keep_best those of the best step, and of the last validation where the run is "
               "not finished. Speed is the median over the steps. The losses of language models, of SteerLM 2.0, of "
               "predictors with a regression head and of predictors of pairs have units of their own and cannot be "
               "compared with each other.");
  open_table(page, "Runs");
  page.open("thead");
  page.open("tr");
  for (const char* text : {"run", "stage", "state", "last word of its log"})
    page.element("th", text, {{"scope", "col"}});
  for (const char* text : {"steps", "training loss", "validation loss", "perplexity", "tokens/s", "first to last step"})
    page.element("th", text, {{"scope", "col"}, {"class", "number"}});
  page.close("tr");
  page.close("thead");
  page.open("tbody");
  for (size_t r = 0; r < runs.size(); ++r) {
    const ReportRun& run = runs[r];
    page.open("tr");
    page.open("th", {{"scope", "row"}});
    page.element("a", run.name, {{"href", "#" + anchor(r)}});
    page.close("th");
    const std::string outcome = run.outcome + (run.faults.empty() ? "" : ", parts are missing here");
    for (const std::string& text : {run.stage, outcome, run.said}) page.element("td", text);
    const double speed = median_speed(run);
    for (const std::string& text :
         {steps_text(run), format_number(last_finite(run, "train/loss"), 4), validation_loss_text(run),
          format_number(validation(run, "validation/perplexity"), 3),
          std::isfinite(speed) ? format_count(std::llround(speed)) : "–",
          run.metrics.empty() ? "–" : format_duration(run.seconds)})
      page.element("td", text, {{"class", "number"}});
    page.close("tr");
  }
  page.close("tbody");
  close_table(page);
  std::vector<std::string> faults;
  for (const ReportRun& run : runs) {
    for (const std::string& fault : run.faults) faults.push_back(run.name + ": " + fault);
  }
  if (faults.empty()) return;
  page.element("h3", "What is missing or damaged");
  write_list(page, faults);
}

void write_runs(HtmlWriter& page, ReportRuns runs) {
  for (size_t r = 0; r < runs.size(); ++r) {
    const ReportRun& run = runs[r];
    page.open("section", {{"id", anchor(r)}});
    page.element("h3", run.name);
    page.element("p", (run.stage.empty() ? "" : "Stage " + run.stage + ". ") + "State: " + run.outcome + "." +
                          (run.said.empty() ? "" : " Its log ends with: " + run.said));
    if (!run.data_lines.empty()) write_list(page, run.data_lines);
    write_counts(page, run);
    write_inputs(page, run);
    write_recipe(page, run);
    page.close("section");
  }
}

void write_environments(HtmlWriter& page, ReportRuns runs) {
  std::vector<std::pair<Json, std::vector<std::string>>> different;  // with the names of the runs
  for (const ReportRun& run : runs) {
    if (!run.environment.is_object()) continue;
    Json environment = run.environment;
    environment.erase("inputs");
    environment.erase("steps");
    const auto same = std::ranges::find_if(different, [&](const auto& entry) { return entry.first == environment; });
    if (same == different.end())
      different.push_back({environment, {run.name}});
    else
      same->second.push_back(run.name);
  }
  page.element("p", "Versions and machine of each run. Data: environment.json of each run.");
  for (const auto& [environment, names] : different) {
    std::vector<std::vector<std::string>> rows{{"what", "value"}};
    for (const auto& [key, value] : environment.items()) {
      const bool bytes = key == "memory_bytes" && value.is_number_integer();
      rows.push_back({bytes ? "memory" : key, bytes ? format_bytes(value.get<std::int64_t>()) : value_text(value)});
    }
    std::string list;
    for (const std::string& name : names) list += (list.empty() ? "" : ", ") + name;
    write_table(page, "Environment of " + list, rows);
  }
}

}  // namespace steerlm
