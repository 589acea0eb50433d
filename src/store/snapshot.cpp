#include "steerlm/store/snapshot.h"

#include <algorithm>
#include <charconv>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/core/hash.h"

namespace steerlm {
namespace {

constexpr const char* checkpoints_folder = "checkpoints";
constexpr const char* tensors_file = "tensors.safetensors";
constexpr const char* state_file = "state.json";
constexpr const char* manifest_file = "manifest.json";
constexpr const char* latest_file = "LATEST";

std::string step_name(std::int64_t step) { return "step-" + std::to_string(step); }

// N of "step-N" as step_name writes it, nothing for any other name.
std::optional<std::int64_t> parse_step(const std::string& name) {
  if (!name.starts_with("step-")) return std::nullopt;
  std::int64_t step = 0;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), step);
  if (error != std::errc() || step < 0 || step_name(step) != name) return std::nullopt;
  return step;
}

// Steps that have a folder, newest first.
std::vector<std::int64_t> list_steps(const RunFiles& files) {
  std::vector<std::int64_t> steps;
  std::error_code error;
  for (const std::string& folder : files.folders_in(checkpoints_folder)) {
    const auto step = parse_step(Path(folder).filename().string());
    if (step && std::filesystem::is_directory(files.root() / folder, error)) steps.push_back(*step);
  }
  std::sort(steps.rbegin(), steps.rend());
  return steps;
}

std::optional<std::int64_t> read_latest(const Path& checkpoints) {
  std::error_code error;
  if (!std::filesystem::is_regular_file(checkpoints / latest_file, error)) return std::nullopt;
  std::string name = read_file(checkpoints / latest_file, ExitCode::model, "checkpoint pointer");
  name.erase(name.find_last_not_of(" \r\n") + 1);
  return parse_step(name);
}

WrittenFile write_bytes(const Path& path, const std::string& bytes) {
  OutputFile file(path, OutputFile::Mode::create);
  file.write(bytes);
  file.sync();
  return {file.size(), sha256_hex(bytes)};
}

void check_file(const Path& folder, const std::string& name, const Json& entry) {
  const Path path = folder / name;
  const auto broken = [&](const std::string& what, const std::string& found = "", const std::string& expected = "") {
    fail(ExitCode::model, {.what = what, .where = path.string(), .found = found, .expected = expected});
  };
  if (Path(name).filename() != name || name == "." || name == "..")
    broken("the manifest names a file outside of the checkpoint");
  if (!entry.is_object() || !entry.contains("size") || !entry["size"].is_number_unsigned() ||
      !entry.contains("sha256") || !entry["sha256"].is_string()) {
    broken("the manifest has no size and sha256 for the file");
  }
  std::error_code error;
  const std::uintmax_t size = std::filesystem::file_size(path, error);
  if (error) broken("the file is missing, or is no regular file");
  if (size != entry["size"].get<std::uint64_t>()) {
    broken("wrong size", std::to_string(size) + " bytes", std::to_string(entry["size"].get<std::uint64_t>()));
  }
  if (sha256_file(path, ExitCode::model) != entry["sha256"].get<std::string>())
    broken("the content does not match the manifest's sha256");
}

// Throws model unless every file is as the manifest says.
Snapshot open_snapshot(const Path& checkpoints, std::int64_t step) {
  const Path folder = checkpoints / step_name(step);
  const Path manifest_path = folder / manifest_file;
  std::error_code error;
  if (std::filesystem::exists(manifest_path, error) && !std::filesystem::is_regular_file(manifest_path, error))
    fail(ExitCode::model, {.what = "the manifest is no regular file", .where = manifest_path.string()});
  const Json manifest = parse_json(read_file(manifest_path, ExitCode::model, "checkpoint manifest"),
                                   manifest_path.string(), ExitCode::model);
  if (!manifest.is_object() || !manifest.contains("files") || !manifest["files"].is_object()) {
    fail(ExitCode::model, {.what = "no object 'files' in the manifest", .where = manifest_path.string()});
  }
  for (const char* name : {tensors_file, state_file}) {
    if (!manifest["files"].contains(name)) {
      fail(ExitCode::model,
           {.what = "the manifest does not list '" + std::string(name) + "'", .where = manifest_path.string()});
    }
  }
  for (const auto& [name, entry] : manifest["files"].items()) check_file(folder, name, entry);
  const Path state_path = folder / state_file;
  return {step, folder,
          parse_json(read_file(state_path, ExitCode::model, "checkpoint state"), state_path.string(), ExitCode::model)};
}

}  // namespace

void publish_snapshot(RunFiles& files, std::int64_t step, const NamedTensors& tensors, const Json& state) {
  files.make_folder(checkpoints_folder);
  const std::string folder = std::string(checkpoints_folder) + "/" + step_name(step);
  files.write_folder(folder, false, [&](const Path& part) {
    Json listed;
    const auto enter = [&listed](const char* name, const WrittenFile& written) {
      listed[name] = {{"size", written.size}, {"sha256", written.sha256}};
    };
    enter(tensors_file, write_safetensors(part / tensors_file, tensors, {}));
    enter(state_file, write_bytes(part / state_file, dump_json(state) + "\n"));
    write_file_atomic(part / manifest_file, dump_json({{"files", listed}}) + "\n");
  });
  files.write(std::string(checkpoints_folder) + "/" + latest_file, step_name(step));
}

std::optional<Snapshot> find_snapshot(const RunFiles& files, const std::function<void(const std::string&)>& warn,
                                      const std::function<void(const Snapshot&)>& check) {
  const Path checkpoints = files.root() / checkpoints_folder;
  std::vector<std::int64_t> steps = list_steps(files);
  const auto latest = read_latest(checkpoints);
  if (latest) {
    const auto found = std::find(steps.begin(), steps.end(), *latest);
    if (found == steps.end()) {
      warn("checkpoint " + step_name(*latest) + ", which " + (checkpoints / latest_file).string() +
           " names, is missing");
      // Those after LATEST were never announced, but they are whole or not like the others.
    } else {
      std::rotate(steps.begin(), found, found + 1);
    }
  } else if (!steps.empty()) {
    warn((checkpoints / latest_file).string() + " is missing or damaged; the newest whole checkpoint is taken");
  }
  for (const std::int64_t step : steps) {
    try {
      Snapshot snapshot = open_snapshot(checkpoints, step);
      check(snapshot);
      if (latest && step != *latest) warn("going on from checkpoint " + step_name(step));
      return snapshot;
    } catch (const Error& error) {
      warn("checkpoint " + step_name(step) + " is not whole and is passed over: " + error.what());
    }
  }
  if (!steps.empty() || latest) warn("no whole checkpoint is left in " + checkpoints.string());
  return std::nullopt;
}

void refuse_foreign_checkpoints(const RunFiles& files, bool fresh, std::optional<std::int64_t> last) {
  const std::string below = std::string(checkpoints_folder) + "/";
  const Path checkpoints = files.root() / checkpoints_folder;
  std::error_code error;
  const auto status = std::filesystem::symlink_status(checkpoints, error);
  if (!std::filesystem::exists(status)) return;
  // A folder that is not ours will do: others write into it too.
  if (!std::filesystem::is_directory(status)) files.refuse_foreign(checkpoints_folder);
  files.refuse_foreign(below + latest_file);
  std::vector<std::int64_t> foreign;
  std::filesystem::directory_iterator entry(checkpoints, error);
  for (; !error && entry != std::filesystem::directory_iterator(); entry.increment(error)) {
    const std::string name = entry->path().filename().string();
    const auto step = parse_step(name);
    const bool would_be_made = step && (!last || *step <= *last);
    const bool would_be_removed = step && fresh && files.owns(below + name);
    if ((would_be_made || would_be_removed) && files.foreign_at(below + name)) foreign.push_back(*step);
  }
  if (foreign.empty()) return;
  const auto from = fresh ? std::nullopt : find_snapshot(files, [](const std::string&) {});
  for (const std::int64_t step : foreign) {
    if (!from || step > from->step) files.refuse_foreign(below + step_name(step));
  }
}

NamedTensors read_snapshot_tensors(const Snapshot& snapshot) {
  const SafetensorsFile file = SafetensorsFile::open(snapshot.folder / tensors_file);
  NamedTensors tensors;
  for (const std::string& name : file.names()) tensors.emplace_back(name, file.read(name));
  return tensors;
}

void prune_snapshots(RunFiles& files, std::int64_t keep, std::optional<std::int64_t> also_keep) {
  const auto latest = read_latest(files.root() / checkpoints_folder);
  std::int64_t kept = 0;
  for (const std::int64_t step : list_steps(files)) {
    const bool abandoned = latest && step > *latest;  // a run that went on from an older checkpoint left it behind
    const bool wanted = step == latest || (!abandoned && kept < keep);
    if (wanted) ++kept;
    if (!wanted && step != also_keep) files.remove(std::string(checkpoints_folder) + "/" + step_name(step));
  }
}

}  // namespace steerlm
