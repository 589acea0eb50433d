#include "steerlm/stages/run_directory.h"

#include <algorithm>
#include <filesystem>
#include <tuple>
#include <utility>

#include "stages/environment.h"
#include "stages/places.h"
#include "stages/recipe_shard.h"
#include "stages/run_comparison.h"
#include "steerlm/core/paths.h"
#include "steerlm/core/suggest.h"
#include "steerlm/core/version.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/shard.h"
#include "steerlm/nn/device.h"
#include "steerlm/recipe/load.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/store/snapshot.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

// Finished, and not asked to train longer than it did.
bool is_complete(const Path& path, const Recipe& recipe) {
  if (!is_there(path / "done.json", ExitCode::resources) || !is_there(path / "recipe.yaml", ExitCode::resources))
    return false;
  const Recipe before = load_recipe((path / "recipe.yaml").string(), {}, std::nullopt);
  return before.train.steps == recipe.train.steps && before.train.epochs == recipe.train.epochs;
}

// What of a finished run is not as it was written: its model, its tables, its output.
std::vector<RunFiles::Difference> damages(const RunFiles& files) {
  std::vector<RunFiles::Difference> found = files.output_differences();
  for (const RunFiles::Difference& other : files.differences("")) {
    const std::string name = other.path.lexically_relative(files.root()).string();
    const bool of_the_run =
        name == "done.json" || name == "recipe.yaml" || name == "environment.json" || name.starts_with("checkpoints/");
    if (!of_the_run) found.push_back(other);
  }
  return found;
}

// As a user who stands here would name it.
std::string shown(const Path& path) {
  std::error_code error;
  const Path here = path.lexically_relative(stdfs::current_path(error));
  return error || here.empty() || *here.begin() == ".." ? path.string() : here.string();
}

std::string describe(const RunFiles::Difference& other) {
  return shown(other.path) + (other.gone ? " is gone" : " was changed after it was written");
}

}  // namespace

std::vector<std::string> run_damages(const RunFiles& files, const Recipe& recipe) {
  std::vector<std::string> outputs = recipe_outputs(recipe);
  const Path ledger = files.root() / ledger_name;
  // A file of the run may have been taken along to another file system, or a link on the way to it leads elsewhere now;
  // it may be whole in a copy, whatever has become of the original's.
  const auto is_elsewhere = [&](const RunFiles::Difference& other) {
    if ((!other.gone && other.own) || lies_in(place_of(other.path), place_of(files.root()))) return false;
    const Path name = other.path.filename();
    // What a part of bootstrap or steerlm2 writes lies beside its run directory.
    if (outputs.empty())
      return BlockOutput::is_finished_at((place_of(files.root()).parent_path() / name).string(), ledger);
    return std::ranges::all_of(outputs, [&](const std::string& output) {
      if (name == shard_file(output).filename()) return has_shard_file(output);
      if (name == BlockOutput::quarantine_beside(output).filename())
        return BlockOutput::is_quarantine_at(output, ledger);
      return BlockOutput::is_finished_at(output, ledger);
    });
  };
  std::vector<std::string> reasons;
  for (const RunFiles::Difference& other : damages(files)) {
    if (!is_elsewhere(other)) reasons.push_back(describe(other));
  }
  return reasons;
}

namespace {

RunStatus status_of(const RunFiles& files, const Recipe& recipe, const Json& inputs) {
  using State = RunStatus::State;
  if (auto changed = run_differences(files, recipe, inputs); !changed.empty()) return {State::other, changed};
  if (!is_complete(files.root(), recipe)) return {has_results(files) ? State::unfinished : State::fresh, {}};
  const std::vector<std::string> reasons = run_damages(files, recipe);
  return {reasons.empty() ? State::finished : State::damaged, reasons};
}

// The folder of a pipeline or a cross-validation is never started over as something else: the run directories of its
// steps are in it.
void refuse_pipeline_folder(const RunFiles& files, const Recipe& recipe) {
  const std::string stage = files.mark().value("stage", "");
  if (stage != enum_name(Stage::pipeline) && stage != "crossvalidate") return;
  fail(ExitCode::recipe,
       {.what = "the folder holds a run of " + std::string(stage == "crossvalidate" ? "" : "a ") + stage,
        .where = recipe.run_dir,
        .advice = "choose another run_dir"});
}

// Hours of sampling need not be lost where the keys or inputs of the training alone have changed.
std::string what_was_sampled(const Recipe& recipe) {
  const Path root = recipe.run_dir;
  const auto is_done = [&](const char* part) { return is_there(root / part / "done.json", ExitCode::resources); };
  if (recipe.stage == Stage::bootstrap && is_done("annotate"))
    return ", which removes the sampled and annotated answers: an sft recipe with another run_dir can train on them, "
           "data.train: " +
           (root / "annotated.jsonl").string();
  if (recipe.stage == Stage::steerlm2 && is_done("predictor-1"))
    return ", which removes the sampled responses and their scores: this recipe can train on those of the first "
           "iteration, with run_dir=ANOTHER prompts=null prior=null predictor=null data.train=" +
           (root / "responses-1.jsonl").string();
  return "";
}

void refuse_other_run(const RunStatus& status, const Recipe& recipe) {
  if (status.state != RunStatus::State::other) return;
  fail(ExitCode::recipe, {.what = "the folder holds a run of another recipe: " + join(status.reasons, "; "),
                          .where = recipe.run_dir,
                          .advice = "choose another run_dir, or start over with --fresh" + what_was_sampled(recipe)});
}

// Files of many runs in the folder of one would be foreign there.
void refuse_cache_in_run(const Recipe& recipe) {
  const std::string& cache = recipe.data.cache_dir;
  if (cache.empty()) return;
  const bool inside = !recipe.run_dir.empty() && lies_in(place_of(cache), place_of(recipe.run_dir));
  if (!inside && !is_there(Path(cache) / run_mark_folder, ExitCode::resources)) return;
  fail(ExitCode::recipe,
       {.what = inside ? "data.cache_dir lies in the run directory" : "data.cache_dir is the run directory of a run",
        .where = cache,
        .advice = inside ? "leave it out: run_dir/data is where the data is kept then" : "choose another folder"});
}

// A run never writes into a folder that it reads.
void refuse_run_in_input(const Recipe& recipe) {
  refuse_cache_in_run(recipe);
  for (const RecipeInput& input : inputs_of(recipe)) {
    std::error_code error;
    if (!stdfs::is_directory(input.path, error)) continue;
    const auto lies_in_input = [&](const std::string& folder) {
      return !folder.empty() && lies_in(place_of(folder), place_of(input.path));
    };
    const std::tuple<const char*, const std::string&, const char*> written[] = {
        {"the folder of features", recipe.head.features, "head.features"},
        {"the folder of encoded training data", recipe.data.cache_dir, "data.cache_dir"},
        {"the run directory", recipe.run_dir, "run_dir"}};
    for (const auto& [what, folder, key] : written) {
      if (!lies_in_input(folder)) continue;
      fail(ExitCode::recipe, {.what = std::string(what) + " lies in a folder that the run reads",
                              .where = folder,
                              .found = input.path,
                              .advice = std::string("choose another ") + key});
    }
  }
}
void refuse_input_in_run(const Recipe& recipe) {
  for (const RecipeInput& input : inputs_of(recipe)) {
    if (!lies_in(place_of(input.path), place_of(recipe.run_dir))) continue;
    fail(ExitCode::recipe, {.what = "an input lies in the run directory",
                            .where = input.path,
                            .found = "run_dir: " + recipe.run_dir,
                            .advice = "choose another run_dir"});
  }
}

// Names right below the run directory that a stage writes.
std::vector<std::string> stage_names(Stage stage) {
  std::vector<std::string> names{"recipe.yaml", "environment.json", "log.txt", "done.json"};
  const auto add = [&](std::initializer_list<const char*> more) {
    names.insert(names.end(), more.begin(), more.end());
  };
  if (stage == Stage::train_predictor || stage == Stage::sft) add({"metrics.jsonl", "model"});
  if (stage == Stage::train_predictor) add({"validation.jsonl", "ridge.json"});
  if (stage == Stage::annotate || stage == Stage::generate || stage == Stage::tokenizer) add({"ledger.jsonl"});
  if (stage == Stage::evaluate) {
    add({"evaluation.json", "evaluation.txt", "answers.jsonl", "ledger.jsonl"});
    add({"predictor.part.json", "pairs.part.json", "perplexity.part.json"});
  }
  if (stage == Stage::bootstrap) add({"model", "ledger.jsonl"});
  if (stage == Stage::steerlm2) add({"metrics.jsonl", "model", "ledger.jsonl"});
  return names;
}

// The ledger stays: by it BlockOutput tells its own files from others, and removes it with them. So does the encoded
// training data, which is found again by what it is made of.
const std::vector<std::string> kept_at_fresh{ledger_name, "data", "data/examples.bin", "data/inputs.json"};

// Files of others beside the encoded data are in nobody's way.
void refuse_foreign_data(const RunFiles& files) {
  if (!is_folder(files.root() / "data", ExitCode::resources)) files.refuse_foreign("data");
  for (const char* name : {"data/examples.bin", "data/inputs.json", "data/standard-input.sha256"})
    files.refuse_foreign(name);
}

// Of a training stage: where it puts no record aside, a file of that name is in nobody's way.
void refuse_foreign_quarantine(const RunFiles& files, const Recipe& recipe) {
  if (recipe.bad_records.on_bad_record == OnBadRecord::quarantine) files.refuse_foreign("quarantine.jsonl");
}

// The things to set aside: changed files and outputs, a model as a whole.
std::vector<Path> changed_things(const RunFiles& files) {
  const Path model = files.root() / "model";
  std::vector<Path> things;
  for (const RunFiles::Difference& other : damages(files)) {
    if (other.gone || !other.own) continue;
    const Path thing = lies_in(place_of(other.path), place_of(model)) ? model : other.path;
    if (std::ranges::find(things, thing) == things.end()) things.push_back(thing);
  }
  return things;
}

// The runs within the run directory that --fresh starts over with it; features are kept.
std::vector<std::string> parts_of(const RunFiles& files) {
  std::vector<std::string> names = files.runs();
  std::erase(names, "features");
  return names;
}

// What is in the way in the folder of one of the steps of bootstrap or steerlm2 that is not finished.
void refuse_foreign_step(const Recipe& recipe, Stage stage, const std::string& name, const std::string& output,
                         const Context& context) {
  const Path root = Path(recipe.run_dir) / name;
  if (RunFiles::holds_run(root)) {
    const RunFiles files = RunFiles::read(root);
    if (!context.fresh && is_there(root / "done.json", ExitCode::resources)) return;
    for (const std::string& each : stage_names(stage)) files.refuse_foreign(each);
    refuse_foreign_quarantine(files, recipe);
    if (stage == Stage::sft || stage == Stage::steerlm2)
      refuse_foreign_checkpoints(files, context.fresh, recipe.train.steps);
    if (context.fresh) files.check_removal(kept_at_fresh);
  }
  if (!output.empty()) {
    BlockOutput::check((Path(recipe.run_dir) / output).string(), root / ledger_name,
                       {.fresh = context.fresh, .overwrite = context.overwrite});
  }
}

// Before anything is removed or written.
void refuse_foreign_files(const RunFiles& files, const Recipe& recipe, const Context& context) {
  for (const std::string& name : stage_names(recipe.stage)) files.refuse_foreign(name);
  refuse_foreign_quarantine(files, recipe);
  if (!data_cache_folder(recipe).empty() && recipe.data.cache_dir.empty()) refuse_foreign_data(files);
  if (recipe.stage == Stage::train_predictor || recipe.stage == Stage::sft || recipe.stage == Stage::steerlm2)
    refuse_foreign_checkpoints(files, context.fresh, recipe.train.steps);
  if (recipe.stage == Stage::bootstrap && files.owns_run("sample")) {
    refuse_foreign_step(recipe, Stage::generate, "sample", "sampled.jsonl", context);
    refuse_foreign_step(recipe, Stage::annotate, "annotate", "annotated.jsonl", context);
    refuse_foreign_step(recipe, Stage::sft, "sft", "", context);
  }
  for (std::int64_t k = 1; recipe.stage == Stage::steerlm2 && files.owns_run(steerlm2_parts(k).front()); ++k) {
    const std::vector<std::string> parts = steerlm2_parts(k), outputs = steerlm2_outputs(k);
    for (size_t i = 0; i < parts.size(); ++i)
      refuse_foreign_step(recipe, Stage::steerlm2, parts[i], i < outputs.size() ? outputs[i] : "", context);
  }
  if (recipe.stage == Stage::evaluate && recipe.dials) {
    BlockOutput::check((files.root() / "sweep.jsonl").string(), files.root() / ledger_name,
                       {.fresh = context.fresh, .overwrite = context.overwrite});
  }
  if (!context.fresh) return;
  files.check_removal(kept_at_fresh);
  for (const std::string& name : parts_of(files)) {
    if (RunFiles::look(files.root() / name).kind != RunFiles::Place::Kind::marked) continue;
    const RunFiles part = RunFiles::read(files.root() / name);
    part.check_removal({});
    for (const Path& thing : changed_things(part)) RunFiles::check_set_aside(thing);
  }
}

void check_outputs(const Recipe& recipe, const Context& context) {
  for (const std::string& output : recipe_outputs(recipe))
    BlockOutput::check(output, Path(recipe.run_dir) / ledger_name, output_options(recipe, context));
}

// Before the inputs are read, which may take a while. A finished run writes no output.
void check_outputs_of_unfinished(const Recipe& recipe, const Context& context) {
  if (context.fresh || !is_there(Path(recipe.run_dir) / "done.json", ExitCode::resources))
    check_outputs(recipe, context);
}

// What keeps a run that is not finished from beginning or going on in a marked folder.
void refuse_to_begin(const RunFiles& files, const Recipe& recipe, const RunStatus& status, const Context& context) {
  refuse_pipeline_folder(files, recipe);
  refuse_other_run(status, recipe);
  refuse_foreign_files(files, recipe, context);
  for (const Path& thing : changed_things(files)) RunFiles::check_set_aside(thing);
}

Json mark_of(const Recipe& recipe) {
  return {{"made_by", "steerlm " + program_version()}, {"stage", enum_name(recipe.stage)}};
}

}  // namespace

RunStatus look_at_run(const Recipe& recipe) {
  KnownFiles known = known_inputs(recipe);
  const Json inputs = describe_inputs(recipe, known);
  if (!RunFiles::holds_run(recipe.run_dir)) return {};
  return status_of(RunFiles::read(recipe.run_dir), recipe, inputs);
}

void check_run_place(const Recipe& recipe) {
  refuse_run_in_input(recipe);
  refuse_input_in_run(recipe);
}

struct RunLook {
  KnownFiles known;
  Json inputs;
  bool marked = false;  // the folder is a run directory
  RunStatus status;     // with --fresh that of a new run
  bool finished() const { return status.state == RunStatus::State::finished; }
};

namespace {

// OUTPUT.shard.json of a shard: another job's stays, the run's own makes way for that of other settings.
void check_shard_description(const Recipe& recipe, const RunLook& look, const Context& context) {
  if (!recipe_shard(recipe).is_part()) return;
  const std::string output = recipe_outputs(recipe).front();
  if (look.marked && RunFiles::read(recipe.run_dir).owns_output(shard_file(output))) return;
  check_shard_file(output, shard_job(recipe, look.inputs), context.overwrite);
}

// What a run and its dry run look at first. Nothing is written, not even a lock: a missing input leaves no folder
// behind, and a finished run stays as it is.
RunLook look_before_run(const Recipe& recipe, const Context& context) {
  refuse_run_in_input(recipe);
  check_outputs_of_unfinished(recipe, context);
  RunLook look{.known = known_inputs(recipe)};
  look.inputs = describe_inputs(recipe, look.known);
  look.marked = RunFiles::holds_run(recipe.run_dir);
  refuse_input_in_run(recipe);
  if (look.marked) {
    const RunFiles files = RunFiles::read(recipe.run_dir);
    refuse_pipeline_folder(files, recipe);
    if (!context.fresh) look.status = status_of(files, recipe, look.inputs);
  }
  if (!look.finished()) {
    check_outputs(recipe, context);
    check_shard_description(recipe, look, context);
  }
  return look;
}

}  // namespace

RunDirectory::RunDirectory(const Recipe& recipe, const Context& context)
    : RunDirectory(recipe, context, look_before_run(recipe, context)) {}

RunDirectory::RunDirectory(const Recipe& recipe, const Context& context, RunLook look)
    : recipe_(recipe),
      context_(context),
      known_(std::move(look.known)),
      inputs_(std::move(look.inputs)),
      finished_(look.finished()),
      files_(finished_ ? RunFiles::read(recipe.run_dir) : RunFiles::open(recipe.run_dir, mark_of(recipe))) {
  if (finished_) return;
  // Again, now that no other process changes the folder.
  const RunStatus status = context.fresh ? RunStatus() : status_of(files_, recipe, inputs_);
  refuse_to_begin(files_, recipe, status, context);
  finished_ = status.state == RunStatus::State::finished;  // by a process that ended while this one waited for the lock
}

namespace {

// Bytes that the run has not written are kept, whatever becomes of the run.
void set_aside_changed(RunFiles& files, const Context& context) {
  const std::vector<RunFiles::Difference> found = damages(files);
  const std::vector<Path> things = changed_things(files);
  for (const Path& thing : things) RunFiles::check_set_aside(thing);
  for (const RunFiles::Difference& other : found) {
    if (other.gone && !context.fresh) context.log->warn(describe(other) + ": it is made again");
  }
  for (const Path& thing : things) {
    const auto why = std::ranges::find_if(found, [&](const RunFiles::Difference& other) {
      return !other.gone && (other.path == thing || lies_in(place_of(other.path), place_of(thing)));
    });
    const Path kept = files.set_aside(thing);
    context.log->warn(describe(*why) + ": it is kept as " + shown(kept) + " and made again");
  }
}

bool holds_its_mark_alone(const Path& root) {
  std::error_code error;  // one that cannot be listed is kept
  return std::distance(stdfs::directory_iterator(root, error), stdfs::directory_iterator()) == 1;
}

// The parts of bootstrap and steerlm2, with what they wrote beside. One in which something else lies stays with that.
void remove_parts(RunFiles& files, const Context& context) {
  for (const std::string& name : parts_of(files)) {
    const Path root = files.root() / name;
    if (RunFiles::look(root).kind == RunFiles::Place::Kind::marked) {
      RunFiles part = RunFiles::open(root, {});
      set_aside_changed(part, context);
      for (const Path& output : BlockOutput::own_files(root / ledger_name)) remove_file(output);
      part.remove_all({});
    }
    if (RunFiles::look(root).kind == RunFiles::Place::Kind::marked && holds_its_mark_alone(root)) {
      remove_run(root);
      files.remove(name);
    }
  }
}

}  // namespace

void RunDirectory::start() {
  if (context_.fresh) {
    set_aside_changed(files_, context_);
    remove_parts(files_, context_);
    files_.remove_all(kept_at_fresh);
    if (files_.mark().value("stage", "") != enum_name(recipe_.stage)) files_.set_mark(mark_of(recipe_));
  }
  context_.log->open_file(files_.grow("log.txt"));
  set_aside_changed(files_, context_);  // also of a run that is to go on: its model may be that of a shorter training
  if (const std::string why = why_no_gpu(); !why.empty())
    context_.log->warn("device auto is the CPU, although the machine has a GPU: " + why);
  files_.remove("done.json");
  files_.write("environment.json",
               describe_environment(device_name(choose_device(recipe_.device, "device")), inputs_).dump(2) + "\n");
  files_.write("recipe.yaml", dump_recipe(recipe_));
}

void RunDirectory::finish(const Json& summary, const std::vector<std::string>& outputs) {
  files_.forget_outputs();  // those of an earlier run
  for (const std::string& output : outputs) files_.enter_output(output, true);
  files_.write_last("done.json", summary.dump(2) + "\n");
}

namespace {

// Where the stage itself refuses another one.
bool compares_standard_input(const Recipe& recipe) {
  return recipe.stage == Stage::annotate || recipe.stage == Stage::generate || !data_cache_folder(recipe).empty();
}

}  // namespace

std::optional<RunDirectory> begin_run(const Recipe& recipe, const Context& context) {
  if (context.dry_run) return std::nullopt;
  std::optional<RunDirectory> run(std::in_place, recipe, context);
  if (run->finished())
    context.log->info(recipe.run_dir + ": the run is finished already, nothing to do (--fresh starts over)");
  if (!reads_standard_input(recipe)) return run;
  if (run->finished())
    context.log->warn("standard input was not read, and may be another one than the run has read");
  else if (!compares_standard_input(recipe) && !context.fresh &&
           RunFiles::look(recipe.run_dir).kind == RunFiles::Place::Kind::marked &&
           has_results(RunFiles::read(recipe.run_dir)))
    context.log->warn("the run goes on: standard input must give what it gave before, which cannot be checked");
  return run;
}

void report_run(const Recipe& recipe, const Context& context) {
  const RunLook look = look_before_run(recipe, context);
  const RunStatus& status = look.status;
  const bool marked = look.marked, finished = look.finished();
  if (!finished) {
    RunFiles::check_writable(recipe.run_dir);
    if (!recipe.data.cache_dir.empty()) RunFiles::check_writable(recipe.data.cache_dir);
  }
  if (marked && !finished) refuse_to_begin(RunFiles::read(recipe.run_dir), recipe, status, context);
  std::string text = "a new run", kept;
  if (marked && context.fresh) {
    for (const Path& thing : changed_things(RunFiles::read(recipe.run_dir)))
      kept += "; " + shown(thing) + ", which was changed, would be kept as " + shown(thing) + ".previous";
  }
  if (marked && context.fresh)
    text = "what an earlier run wrote would be removed, --fresh" + kept;
  else if (status.state == RunStatus::State::unfinished)
    text = "an unfinished run would go on";
  else if (finished)
    text = "the run is finished already, nothing would be done";
  else if (status.state == RunStatus::State::damaged)
    text = join(status.reasons, "; ") + ": it would be made again";
  context.log->info(recipe.run_dir + ": " + text);
}

}  // namespace steerlm
