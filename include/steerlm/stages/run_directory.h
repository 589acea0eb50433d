// The run directory, contracts.md section 4: one process at a time, one recipe, the same inputs.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/lock.h"
#include "steerlm/recipe/recipe.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// Files and model folders that a recipe reads, as the recipe spells them; standard input is left out.
std::vector<std::string> recipe_inputs(const Recipe& recipe);
// [{"path", "size", "sha256"}], folders file by file. A missing one throws the exit code of its kind.
Json describe_inputs(const Recipe& recipe);

class RunDirectory {
 public:
  enum class State { fresh, unfinished, finished };

  // Makes and locks the folder. Throws resources: in use, not empty and no run directory; recipe: it holds a run of
  // another recipe or of inputs that have changed since (the differing keys are named). `fresh` removes the earlier run
  // first.
  RunDirectory(const Recipe& recipe, const Context& context);

  State state() const { return state_; }
  const Path& path() const { return path_; }
  Path checkpoints() const { return path_ / "checkpoints"; }
  Path model() const { return path_ / "model"; }
  const Json& inputs() const { return inputs_; }

  // The run is whole: done.json, with what the stage wants to keep.
  void finish(const Json& summary);

 private:
  Path path_;
  std::optional<DirectoryLock> lock_;
  State state_ = State::fresh;
  Json inputs_;
};

// Whether `path` holds a finished run of this very recipe and inputs; for a pipeline, which skips it then. `changed`
// gets the reasons.
bool is_finished_run(const Path& path, const Recipe& recipe, std::vector<std::string>& changed);

}  // namespace steerlm
