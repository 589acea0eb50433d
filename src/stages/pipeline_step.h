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
  struct Results {
    std::string step;
    std::vector<std::string> places;  // its run directory and its outputs, as the recipe spells them
  };
  std::vector<Results> earlier;  // of the steps before it
};
std::vector<Step> make_steps(const Pipeline& pipeline);

// The earlier step that makes what is at a path; "" for none.
std::string made_by(const Step& step, const std::string& path);

// Throws resources where the step's run directory is a folder that no run has made; recipe as check_run_place.
void check_step_folder(const Step& step);

struct StepPlan {
  enum class Action {
    skip,    // done already
    start,   // for the first time
    go_on,   // unfinished
    repair,  // what is gone or changed of a finished run is made again
    again,   // from the start; the old run directory is kept as NAME.previous
    fresh,   // from the start, --fresh
    open     // dry run: done already, if the earlier steps that are to run (`reasons`) make the same inputs again
  } action = Action::start;
  std::vector<std::string> reasons;
};
// The steps of this process that have run, or that a dry run says would.
struct StepsThatRan {
  std::set<std::string> again;  // so that what depends on them runs again
  std::set<std::string> still;  // dry run: what they make is not there yet, or is another thing
};
// Reads only.
StepPlan plan_step(const Step& step, const StepsThatRan& ran, const Context& context);
std::string describe(const StepPlan& plan, const std::string& would);

// Throws the exit code of the kind of an input that an earlier step makes, is not there, and is not still to come.
void require_results(const Step& step, const StepsThatRan& ran);
// Inputs that are still to come, a sentence each.
std::vector<std::string> results_to_come(const Step& step, const StepsThatRan& ran);
// Before an earlier step begins, perhaps for hours. Opens what the step reads and no earlier one makes, of weights and
// data the beginning: throws the exit code of its kind. Of a step that has not begun, throws as check_outputs.
void look_at_step(const Step& step, const Context& context);
// Opens the other ones: model folders, tokenizers, every record. Throws the exit code of their kind.
void open_inputs(const Step& step, const StepsThatRan& ran);

// Throws resources where the step would write onto a file that its earlier run has not written.
void check_outputs(const Step& step, const Context& context);
// Throws resources where NAME.previous cannot make way, or an output was changed after the old run wrote it.
void check_previous(const Step& step, const Context& context);
// Renames the step's run directory to NAME.previous, in place of an older one, with what it wrote elsewhere and the
// step would write again.
void keep_previous(const Step& step, const Context& context);

}  // namespace steerlm
