// What goes, and what keeps it from going: of a run that starts over, and of a whole run directory.
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/no_follow.h"
#include "steerlm/core/run_files.h"
#include "steerlm/core/run_place.h"

namespace steerlm {

std::vector<std::string> RunFiles::removable(const std::vector<std::string>& keep) const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    if (!entry.run && std::ranges::find(keep, name) == keep.end()) names.push_back(name);
  }
  return names;
}

std::vector<std::string> RunFiles::runs() const {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    if (entry.run && !entry.removing) names.push_back(name);
  }
  return names;
}

bool RunFiles::owns_output(const Path& path) const {
  const Path place = absolute_place(path);
  if (holds(path)) return owns(place.lexically_relative(absolute_place(root_ / "name").parent_path()).string());
  const auto found = outputs_.find(place.native());
  return found != outputs_.end() && found->second.own;
}

void RunFiles::check_removal(const std::vector<std::string>& keep) const {
  for (const std::string& name : removable(keep)) {
    const Path folder = (root_ / name).parent_path();
    if (status_of(root_ / name) && is_folder(folder) &&
        ::faccessat(AT_FDCWD, folder.c_str(), W_OK | X_OK, AT_EACCESS) != 0)
      fail_file("remove files from the folder", folder, errno);
  }
}

void RunFiles::remove_files(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (!entries_.at(name).folder && !entries_.at(name).run) remove_one(root_, name, false);
  }
  for (auto name = names.rbegin(); name != names.rend(); ++name) {  // what is deeper comes later
    if (entries_.at(*name).folder) remove_one(root_, *name, true);
  }
}

void RunFiles::remove_all(const std::vector<std::string>& keep) {
  const std::vector<std::string> names = removable(keep);
  remove_files(names);
  for (const std::string& name : names) entries_.erase(name);
  compact();
}

namespace {

void refuse_foreign_run(const Path& root);

[[noreturn]] void refuse_removal(const Path& path) {
  fail(ExitCode::resources, {.what = "a file that no run has written is in a run directory that would be removed",
                             .where = path.string(),
                             .advice = "move it elsewhere"});
}

void refuse_foreign_below(const RunFiles& files, const Path& folder) {
  for (const std::string& name : entries_of(folder)) {
    const Path path = folder / name;
    const std::string inner = path.lexically_relative(files.root()).string();
    if (inner == run_mark_folder) continue;
    if (files.owns_run(inner) && is_folder(path) && RunFiles::look(path).kind == RunFiles::Place::Kind::marked) {
      refuse_foreign_run(path);
    } else if (is_folder(path) && files.owns(inner)) {
      refuse_foreign_below(files, path);
    } else if (const auto foreign = files.foreign_at(inner)) {
      refuse_removal(*foreign);
    }
  }
}

void refuse_foreign_run(const Path& root) {
  for (const std::string& name : entries_of(root / run_mark_folder)) {
    if (name != "run.json" && name != "files.jsonl" && name != "lock" && name != "staging" && !name.ends_with(".part"))
      refuse_removal(root / run_mark_folder / name);
  }
  const RunFiles files = RunFiles::read(root);
  refuse_foreign_below(files, root);
  for (const RunFiles::Difference& other : files.differences("")) {
    if (!other.gone) refuse_removal(other.path);  // somebody else's bytes
  }
}

void remove_checked_run(const Path& root) {
  RunFiles files = RunFiles::open(root, {});
  for (const std::string& name : entries_of(root)) {
    const Path path = root / name;
    if (files.owns_run(name) && RunFiles::look(path).kind == RunFiles::Place::Kind::marked) remove_checked_run(path);
  }
  files.remove_all({});
  for (const char* name : {"files.jsonl", "run.json", "lock"})
    remove_one(root, std::string(run_mark_folder) + "/" + name, false);
  remove_one(root, run_mark_folder, true);
  if (::rmdir(root.c_str()) != 0 && errno != ENOTEMPTY) fail_file("remove", root, errno);
}

}  // namespace

void check_run_removal(const Path& root) { refuse_foreign_run(root); }

void remove_run(const Path& root) {
  refuse_foreign_run(root);
  remove_checked_run(root);
}

}  // namespace steerlm
