// The sections of a report, each a function of its own that writes what it knows of all runs; report_page.cpp puts them
// in order. One that the runs have nothing for is left out by its has_… function.
#pragma once

#include <span>

#include "stages/report_run.h"
#include "steerlm/report/html.h"

namespace steerlm {

using ReportRuns = std::span<const ReportRun>;

void write_summary(HtmlWriter& page, ReportRuns runs);

bool has_experiments(ReportRuns runs);
void write_experiments(HtmlWriter& page, ReportRuns runs);

bool has_training(ReportRuns runs);
void write_training(HtmlWriter& page, ReportRuns runs);

bool has_dials(ReportRuns runs);
void write_dials(HtmlWriter& page, ReportRuns runs);

bool has_steerability(ReportRuns runs);
void write_steerability(HtmlWriter& page, ReportRuns runs);

bool has_predictors(ReportRuns runs);
void write_predictors(HtmlWriter& page, ReportRuns runs);

bool has_labels(ReportRuns runs);
void write_labels(HtmlWriter& page, ReportRuns runs);

bool has_answers(ReportRuns runs);
void write_answers(HtmlWriter& page, ReportRuns runs);

void write_runs(HtmlWriter& page, ReportRuns runs);
void write_environments(HtmlWriter& page, ReportRuns runs);

// The file of a run as the page names it.
std::string file_of(const ReportRun& run, const char* name);
// A figure with its plot between the two calls; `caption` says what it shows and where its data lies.
void open_figure(HtmlWriter& page, const std::string& title);
void close_figure(HtmlWriter& page, const std::string& caption);

}  // namespace steerlm
