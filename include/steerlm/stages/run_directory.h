// The run directory, contracts.md section 4: one process at a time, one recipe, the same inputs, and nothing in it
// replaced or removed that its runs did not write (core/run_files).
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/run_files.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"
#include "steerlm/stages/recipe_files.h"

namespace steerlm {

// What a folder holds, seen from a settled recipe.
struct RunStatus {
  enum class State {
    fresh,       // nothing yet
    unfinished,  // a run of this recipe that would go on
    damaged,     // a finished one whose model or output is gone or was changed
    finished,    // a finished one
    other        // a run of another recipe, or of inputs that have changed
  } state = State::fresh;
  std::vector<std::string> reasons;  // of damaged and other
};
// Reads only. Throws resources for a folder that is not empty and no run directory.
RunStatus look_at_run(const Recipe& recipe);

// What of the finished run of a recipe is not as it was written: its model, its tables, its output. Empty: nothing.
std::vector<std::string> run_damages(const RunFiles& files, const Recipe& recipe);

// Throws recipe where the run directory lies in a folder that the run reads, or an input in the run directory.
void check_run_place(const Recipe& recipe);

struct RunLook;  // what a run has looked at before it makes or locks the folder

class RunDirectory {
 public:
  // Makes and locks the folder of a settled recipe; of what is in it nothing is touched. Throws resources: in use, no
  // run directory, or a foreign file where this run would write; recipe: it holds a run of another recipe, or it is one
  // of the inputs, or an output is. A finished run is neither locked nor written to: it may be somebody else's, or on a
  // disk that is read-only.
  RunDirectory(const Recipe& recipe, const Context& context);

  // Before anything is written, and after model and data were opened and found good: a run that cannot begin leaves the
  // earlier one as it is. Writes recipe.yaml and environment.json and opens log.txt. With `fresh` what the earlier run
  // wrote is removed first, runs within it too. What was changed is kept as NAME.previous before.
  void start();

  bool finished() const { return finished_; }  // by an earlier process: nothing is left to do
  const Path& path() const { return files_.root(); }
  Path checkpoints() const { return path() / "checkpoints"; }
  Path model() const { return path() / "model"; }
  const Json& inputs() const { return inputs_; }
  RunFiles& files() { return files_; }
  KnownFiles& known_files() { return known_; }  // of its inputs

  // The run is whole: done.json, with what the stage wants to keep. Of the outputs size and hash are recorded.
  void finish(const Json& summary, const std::vector<std::string>& outputs = {});

 private:
  RunDirectory(const Recipe& recipe, const Context& context, RunLook look);

  Recipe recipe_;
  Context context_;
  KnownFiles known_;
  Json inputs_;
  bool finished_ = false;
  RunFiles files_;
};

// What every stage begins with: its run directory, and nothing in a dry run. That a run is finished already is said.
// The stage calls start() when it has opened what it reads.
std::optional<RunDirectory> begin_run(const Recipe& recipe, const Context& context);

// --dry-run: says what begin_run would do, and throws as it would.
void report_run(const Recipe& recipe, const Context& context);

}  // namespace steerlm
