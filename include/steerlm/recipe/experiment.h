// An experiment: a pipeline that is run with several seeds, the figures that are read from what its steps leave, and
// what is expected of them, written down before it is run.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fields.h"
#include "steerlm/recipe/load.h"

namespace steerlm {

// A number in a JSON file of a step.
struct MeasureOptions {
  std::string name;
  std::string step;
  std::string file = "evaluation.json";
  std::string at;               // JSON pointer (RFC 6901)
  std::optional<double> paper;  // the paper's figure, for a column of its own

  void fields(auto& field) {
    field("name", name, "how the figure is called in the table");
    field("step", step, "step of the pipeline in whose run directory the file lies");
    field("file", file, "JSON file there");
    field("at", at, "JSON pointer of the number, such as /dials/humor/own_slope; true counts 1, false 0");
    field("paper", paper, "figure of the paper, on its own scale: it is shown beside and compared with nothing");
  }
};

// Of the mean over the seeds, or of the differences seed by seed.
struct ThresholdOptions {
  std::string measure;
  std::optional<double> at_least, at_most;
  std::string above;

  void fields(auto& field) {
    field("measure", measure, "name of a measure");
    field("at_least", at_least, "the mean over the seeds is at least this");
    field("at_most", at_most, "the mean over the seeds is at most this");
    field("above", above, "the measure that this one exceeds: the 95 % interval of the differences leaves out 0");
  }
};

struct ExperimentOptions {
  std::string mirrors, question, shows, cannot_show;
  std::string pipeline;  // as resolved: a path that can be opened
  std::int64_t seeds = 5;
  std::vector<std::string> overrides, quick;
  std::vector<MeasureOptions> measures;
  std::vector<ThresholdOptions> thresholds;

  void fields(auto& field) {
    field("mirrors", mirrors, "the table or section of a paper that this is a miniature of");
    field("question", question, "what is asked");
    field("shows", shows, "what a result says");
    field("cannot_show", cannot_show, "what it does not say");
    field("pipeline", pipeline, "recipe of the runs; a relative path is below this file's folder");
    field("seeds", seeds, between(1, 30), "runs, with the seeds 1, 2, …");
    field("overrides", overrides, "of the pipeline, key=value");
    field("quick", quick, "more overrides for --quick, which runs one seed");
    field("measures", measures, "the figures");
    field("thresholds", thresholds, "what is expected of them");
  }
};

// Throws recipe with all faults found, each with file:line:column. Whether a pointer leads to a number shows when it
// has been run.
ExperimentOptions load_experiment(const RecipeText& text);
ExperimentOptions load_experiment(const std::string& path);

// The overrides of a run, those of `quick` the last.
std::vector<std::string> overrides_of(const ExperimentOptions& experiment, bool quick);
// The pipeline of a run as it is resolved, for the seed 1 and the run directory "run". Throws recipe where it cannot be
// read, and for a measure of a step that it does not have; `file`: the experiment, for the message.
Pipeline load_pipeline_of(const ExperimentOptions& experiment, const std::string& file, bool quick);

}  // namespace steerlm
