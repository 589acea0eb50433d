// The page of a report: its sections in their order.
#include <fmt/format.h>

#include "stages/report_sections.h"
#include "stages/report_style.h"
#include "steerlm/core/version.h"
#include "steerlm/stages/report.h"

namespace steerlm {
namespace {

bool always(ReportRuns) { return true; }

struct Section {
  const char* id;
  const char* title;
  bool (*is_there)(ReportRuns);
  void (*write)(HtmlWriter&, ReportRuns);
};
// A new kind of result is read in report_run.cpp and gets a line here.
constexpr Section sections[] = {
    {"summary", "Summary", always, write_summary},
    {"experiments", "Experiments", has_experiments, write_experiments},
    {"training", "Training", has_training, write_training},
    {"dials", "Dials", has_dials, write_dials},
    {"steerability", "Steerability matrix", has_steerability, write_steerability},
    {"predictors", "Predictors", has_predictors, write_predictors},
    {"labels", "Labels", has_labels, write_labels},
    {"answers", "Answers", has_answers, write_answers},
    {"runs", "Each run", always, write_runs},
    {"environment", "Environment", always, write_environments},
};

void write_head(HtmlWriter& page, const std::string& title) {
  page.open("head");
  page.empty("meta", {{"charset", "utf-8"}});
  page.element("title", title);
  page.empty("meta", {{"name", "viewport"}, {"content", "width=device-width, initial-scale=1"}});
  page.element("style", report_style);
  page.close("head");
}

void write_navigation(HtmlWriter& page, ReportRuns runs) {
  page.open("nav", {{"aria-label", "Sections"}});
  page.open("ul");
  for (const Section& section : sections) {
    if (!section.is_there(runs)) continue;
    page.open("li");
    page.element("a", section.title, {{"href", std::string("#") + section.id}});
    page.close("li");
  }
  page.close("ul");
  page.close("nav");
}

}  // namespace

std::string file_of(const ReportRun& run, const char* name) { return (run.folder / name).string(); }

void open_figure(HtmlWriter& page, const std::string& title) {
  page.open("figure");
  page.element("p", title, {{"class", "figure-title"}});
}

void close_figure(HtmlWriter& page, const std::string& caption) {
  if (!caption.empty()) page.element("figcaption", caption);
  page.close("figure");
}

std::string make_report(std::span<const std::string> runs, std::vector<std::string>* outputs) {
  std::vector<ReportRun> read;
  std::string names;
  for (const std::string& run : runs) {
    for (ReportRun& each : read_runs(run)) read.push_back(std::move(each));
    names += (names.empty() ? "" : ", ") + run;
  }
  for (const ReportRun& run : read) {
    if (outputs != nullptr) outputs->insert(outputs->end(), run.outputs.begin(), run.outputs.end());
  }
  HtmlWriter page;
  page.open("html", {{"lang", "en"}});
  write_head(page, "SteerLM report: " + names);
  page.open("body");
  page.element("a", "Skip to the report", {{"href", "#report"}, {"class", "skip"}});
  page.open("header");
  page.element("h1", "SteerLM report: " + names);
  page.element("p", fmt::format("Made by steerlm {} from {} run directories. All texts of models and data are shown as "
                                "text; control characters and marks of direction in them are made visible.",
                                program_version(), read.size()));
  write_navigation(page, read);
  page.close("header");
  page.open("main", {{"id", "report"}});
  for (const Section& section : sections) {
    if (!section.is_there(read)) continue;
    page.open("section", {{"id", section.id}});
    page.element("h2", section.title);
    section.write(page, read);
    page.close("section");
  }
  page.close("main");
  page.close("body");
  page.close("html");
  return page.take();
}

}  // namespace steerlm
