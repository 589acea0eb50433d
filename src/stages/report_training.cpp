// Loss, learning rate and speed over the steps of each training run.
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "stages/report_sections.h"

namespace steerlm {
namespace {

struct Curve {
  const char* key;
  const char* title;
  const char* unit;
  const char* meaning;
  bool markers;
};

// Runs whose losses have one unit.
struct Group {
  const char* title;
  const char* loss_unit;
  std::vector<const ReportRun*> runs;
};

enum LossKind : size_t { of_text, of_responses, of_ratings, of_pairs };

LossKind loss_kind(const ReportRun& run) {
  if (run.metrics.contains("train/distance")) return of_responses;  // steerlm2
  const bool head = run.stage == enum_name(Stage::train_predictor) && run.recipe &&
                    run.recipe->head.kind == PredictorKind::regression;
  if (!head) return of_text;
  return is_pairwise(run.recipe->head.loss) ? of_pairs : of_ratings;
}

double last_step(const std::vector<const ReportRun*>& runs) {
  double last = 0;
  for (const ReportRun* run : runs) last = std::max(last, run->metrics.at("train/loss").back().x);
  return last;
}

void write_curve(HtmlWriter& page, const Curve& curve, const std::vector<const ReportRun*>& runs) {
  LinePlot plot{.title = curve.title,
                .description = std::string(curve.meaning) + " Horizontal: optimiser step.",
                .x_label = "optimiser step",
                .y_label = curve.unit,
                .markers = curve.markers,
                .x_covers = {0, last_step(runs)}};
  for (size_t r = 0; r < runs.size(); ++r) {
    const auto found = runs[r]->metrics.find(curve.key);
    if (found != runs[r]->metrics.end()) plot.series.push_back({runs[r]->name, r, found->second});
  }
  if (plot.series.empty()) return;
  open_figure(page, curve.title);
  write_plot(page, plot);
  close_figure(page, fmt::format("{} Data: key {} of each run's metrics.jsonl.", curve.meaning, curve.key));
}

void write_group(HtmlWriter& page, const Group& group) {
  const std::vector<const ReportRun*>& runs = group.runs;
  if (runs.empty()) return;
  page.element("h3", group.title);
  std::vector<std::string> names;
  for (const ReportRun* run : runs) names.push_back(run->name);
  write_legend(page, names);
  page.open("div", {{"class", "plots"}});
  write_curve(page,
              {"train/loss", "Training loss", group.loss_unit,
               "The loss of each optimiser step, before the step; of a long run the smallest and largest value of each "
               "stretch of steps.",
               false},
              runs);
  write_curve(page,
              {"validation/loss", "Validation loss", group.loss_unit, "The loss on the data that was held out.", true},
              runs);
  write_curve(
      page,
      {"train/learning_rate", "Learning rate", "learning rate", "The learning rate of each optimiser step.", false},
      runs);
  write_curve(
      page,
      {"train/tokens_per_second", "Speed", "tokens/s", "Tokens that were trained on in a second, step by step.", false},
      runs);
  page.close("div");
}

bool trained(const ReportRun& run) { return run.metrics.contains("train/loss"); }

}  // namespace

bool has_training(ReportRuns runs) { return std::ranges::any_of(runs, trained); }

void write_training(HtmlWriter& page, ReportRuns runs) {
  std::array<Group, 4> groups{{{"Language models", "nats per target token", {}},
                               {"SteerLM 2.0", "KL divergence per target token", {}},
                               {"Predictors with a regression head", "squared error of a rating", {}},
                               {"Predictors of pairs", "loss of a pair", {}}}};
  for (const ReportRun& run : runs) {
    if (trained(run)) groups[loss_kind(run)].runs.push_back(&run);
  }
  for (const Group& group : groups) write_group(page, group);
}

}  // namespace steerlm
