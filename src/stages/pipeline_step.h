// One step of a pipeline: what becomes of it, and of its old run directory.
#pragma once

#include <set>
#include <string>
#include <vector>

#include "steerlm/recipe/load.h"
#include "steerlm/stages/context.h"

namespace steerlm {

struct Step {
  std::string name, title, recipe_yaml;  // title: "[2/3] annotation (annotate)"
  Recipe recipe;                         // not settled: the model that it starts from may be still to come
  std::vector<std::string> depends_on;
  std::vector<std::string> steps;  // of the whole pipeline, for telling whose result an input is
  Path pipeline_dir;
};
Step make_step(const Pipeline& pipeline, size_t index);

// Throws resources where the step's run directory is a folder that no run has made; recipe as check_run_place.
void check_step_folder(const Step& step);

struct StepPlan {
  enum class Action {
    skip,    // done already
    start,   // for the first time
    go_on,   // unfinished
    repair,  // what is gone or changed of a finished run is made again
    again,   // from the start; the old run directory is kept as NAME.previous
    fresh    // from the start, --fresh
  } action = Action::start;
  std::vector<std::string> reasons;
};
// `again`: the steps that run again in this process, or would. Reads only.
StepPlan plan_step(const Step& step, const std::set<std::string>& again, const Context& context);
std::string describe(const StepPlan& plan, const std::string& would);

// Inputs that are results of earlier steps and are not there, a sentence each.
std::vector<std::string> missing_results(const Step& step);
void require_results(const Step& step);
// Opens the other ones: model folders, tokenizers, every record. Throws the exit code of their kind.
void open_inputs(const Step& step);

// Throws resources where the step would write onto a file that its earlier run has not written.
void check_outputs(const Step& step, const Context& context);
// Throws resources where NAME.previous cannot make way.
void check_previous(const Step& step);
// Renames the step's run directory to NAME.previous, in place of an older one, with what it wrote elsewhere and the
// step would write again.
void keep_previous(const Step& step, const Context& context);

}  // namespace steerlm
