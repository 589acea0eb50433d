#include "stages/pipeline_outputs.h"

#include <algorithm>
#include <optional>

#include "stages/places.h"
#include "stages/recipe_shard.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/recipe_files.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

// A place that is not free for the output of a step.
struct Taken {
  Path place;
  std::string by;
};

// The files that a step writes outside of its run directory, those among them that are there only while it runs.
struct Written {
  std::string output;  // as the recipe spells it
  std::vector<Path> places;
};

// A device, a pipe and standard output take what any number of steps write.
bool is_written_through(const std::string& output) {
  std::error_code error;
  const stdfs::file_status status = stdfs::status(output, error);
  return output == "-" || stdfs::is_character_file(status) || stdfs::is_fifo(status) ||
         place_of(output).string().starts_with("/proc/");
}

std::vector<Written> written_by(const Step& step) {
  std::vector<Written> written;
  for (const std::string& output : recipe_outputs(step.recipe)) {
    if (is_written_through(output)) continue;
    std::vector<Path> places;
    for (const Path& file : {place_of(output), place_of(BlockOutput::quarantine_beside(output))}) {
      places.push_back(file);
      places.push_back(file.string() + ".part");
    }
    if (recipe_shard(step.recipe).is_part()) places.push_back(place_of(shard_file(output)));
    written.push_back({output, std::move(places)});
  }
  return written;
}

// An input that an earlier step makes is no place of its own: that step has it as its output or run directory.
void add_inputs(const Step& step, std::vector<Taken>& taken) {
  for (const RecipeInput& input : named_inputs(step.recipe)) {
    if (!made_by(step, input.path).empty()) continue;
    const std::vector<std::string> read = input.missing == ExitCode::model
                                              ? with_run_directories(model_inputs(input.path))
                                              : std::vector<std::string>{input.path};
    for (const std::string& path : read) taken.push_back({place_of(path), "step " + step.name + " reads " + path});
  }
}

std::vector<Taken> taken_for(const Step& step, const std::vector<Step>& steps, const Path& run_dir,
                             const std::string& recipe_file) {
  std::vector<Taken> taken;
  for (const char* name : pipeline_files)
    taken.push_back({place_of(run_dir / name), "the pipeline itself writes " + (run_dir / name).string()});
  if (!recipe_file.empty() && recipe_file != "-")
    taken.push_back({place_of(recipe_file), "it is the pipeline's recipe"});
  bool is_later = true;
  for (const Step& other : steps) {
    const std::string& folder = other.recipe.run_dir;
    taken.push_back(
        {place_of(folder + ".previous"), "the old run of step " + other.name + " is kept in " + folder + ".previous"});
    if (other.name == step.name) {
      for (const std::string& file : run_directory_files(folder))
        taken.push_back({place_of(file), "the step itself writes " + file});
      is_later = false;
    } else {
      taken.push_back({place_of(folder), folder + " is the run directory of step " + other.name});
    }
    add_inputs(other, taken);
    if (!is_later) continue;  // of two steps with one output the later one is at fault
    for (const Written& written : written_by(other)) {
      for (const Path& place : written.places)
        taken.push_back({place, "step " + other.name + " writes " + written.output});
    }
  }
  return taken;
}

// What a step reads of a later one was made by a pipeline before, or by nobody.
void find_late_inputs(const std::vector<Step>& steps, std::vector<Fault>& faults) {
  for (auto step = steps.begin(); step != steps.end(); ++step) {
    for (const RecipeInput& input : named_inputs(step->recipe)) {
      const Path place = place_of(input.path);
      const auto later = std::find_if(
          step + 1, steps.end(), [&](const Step& other) { return lies_in(place, place_of(other.recipe.run_dir)); });
      if (later == steps.end()) continue;
      faults.push_back({.what = "step " + step->name + " reads what a later step makes",
                        .where = input.path,
                        .found = "the run directory of step " + later->name,
                        .advice = "name another input, or let step " + later->name + " come first"});
    }
  }
}

std::optional<Fault> fault_of(const Written& written, const Step& step, const std::vector<Taken>& taken) {
  for (const Path& place : written.places) {
    const auto other = std::ranges::find_if(
        taken, [&](const Taken& there) { return lies_in(place, there.place) || lies_in(there.place, place); });
    if (other == taken.end()) continue;
    const bool beside = place != written.places.front();
    return Fault{.what = "the output of step " + step.name + " cannot be here: " + other->by,
                 .where = written.output,
                 .found = beside ? place.filename().string() + ", which the step writes beside it" : "",
                 .expected = "a file that nothing else in the pipeline reads or writes",
                 .advice = "name another output"};
  }
  return std::nullopt;
}

}  // namespace

void check_pipeline_outputs(const std::vector<Step>& steps, const Path& run_dir, const std::string& recipe_file) {
  std::vector<Fault> faults;
  find_late_inputs(steps, faults);
  for (const Step& step : steps) {
    const std::vector<Written> written = written_by(step);
    if (written.empty()) continue;
    const std::vector<Taken> taken = taken_for(step, steps, run_dir, recipe_file);
    for (const Written& output : written) {
      if (auto fault = fault_of(output, step, taken)) faults.push_back(std::move(*fault));
    }
  }
  if (!faults.empty()) throw Error(ExitCode::recipe, std::move(faults));
}

}  // namespace steerlm
