#include "steerlm/core/run_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/no_follow.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

constexpr const char* mark_folder = ".steerlm-run";
constexpr int format = 1;

Path mark_path(const Path& root) { return root / mark_folder / "run.json"; }
Path manifest_path(const Path& root) { return root / mark_folder / "files.jsonl"; }
Path staging_path(const Path& root) { return root / mark_folder / "staging"; }

// Nothing that leads out of the folder, whatever a damaged manifest says.
bool is_inner_name(const std::string& name) {
  if (name.empty() || name.front() == '/') return false;
  return std::ranges::none_of(
      Path(name), [](const Path& part) { return part.empty() || part == "." || part == ".." || part == mark_folder; });
}

std::optional<std::string> inner_name(const Path& root, const Path& path) {
  std::error_code error;
  const Path folder = stdfs::weakly_canonical(path.has_parent_path() ? path.parent_path() : Path("."), error);
  if (error) return std::nullopt;
  const Path whole = stdfs::canonical(root, error);
  if (error) return std::nullopt;
  const std::string name = (folder / path.filename()).lexically_relative(whole).string();
  return is_inner_name(name) ? std::optional(name) : std::nullopt;
}

Json entry_line(const char* kind, const std::string& name, const RunFiles::Entry& entry = {}) {
  Json line = {{kind, name}};
  if (!entry.size) return line;
  line["size"] = *entry.size;
  line["sha256"] = entry.sha256;
  return line;
}

RunFiles::Entry record(const Path& path) {
  const auto status = status_of(path);
  return {.size = status ? status->st_size : 0, .sha256 = sha256_file(path, ExitCode::resources)};
}

std::optional<RunFiles::Difference> difference(const Path& path, const RunFiles::Entry& entry) {
  const auto status = status_of(path);
  if (!status) return RunFiles::Difference{path, true};
  if (!S_ISREG(status->st_mode) || status->st_size != *entry.size ||
      sha256_file(path, ExitCode::resources) != entry.sha256)
    return RunFiles::Difference{path, false};
  return std::nullopt;
}

}  // namespace

RunFiles::Place RunFiles::look(const Path& root) {
  std::error_code error;
  if (!status_of(root)) return {};
  const auto status = stdfs::status(root, error);
  if (status.type() == stdfs::file_type::not_found) return {Place::Kind::foreign, "a link that leads to nothing"};
  if (error) fail_at("cannot look at the folder", root, error.value());
  if (!stdfs::is_directory(status)) return {Place::Kind::foreign, "a file"};
  if (is_folder(root / mark_folder) && is_file(mark_path(root))) return {Place::Kind::marked, ""};
  std::vector<std::string> names = entries_of(root);
  // A kill between making and marking a folder leaves no more than the lock.
  if (names == std::vector<std::string>{mark_folder} && is_folder(root / mark_folder)) {
    const std::vector<std::string> inside = entries_of(root / mark_folder);
    if (std::ranges::all_of(inside, [](const std::string& name) { return name == "lock" || name.ends_with(".part"); }))
      return {};
  }
  if (names.empty()) return {};
  std::string found;
  constexpr size_t listed = 3;
  for (size_t i = 0; i < std::min(listed, names.size()); ++i) found += (i > 0 ? ", " : "") + names[i];
  if (names.size() > listed) found += " and " + std::to_string(names.size() - listed) + " more";
  return {Place::Kind::foreign, found};
}

RunFiles RunFiles::read(const Path& root) {
  RunFiles files(root);
  files.load();
  return files;
}

void RunFiles::refuse_place(const Path& root, const Place& place) {
  fail(ExitCode::resources, {.what = "the folder is not empty and no run has made it",
                             .where = root.string(),
                             .found = place.found,
                             .expected = "a folder that is new, empty or made by a run",
                             .advice = "choose another run_dir"});
}

RunFiles RunFiles::open(const Path& root, const Json& mark) {
  if (const Place place = look(root); place.kind == Place::Kind::foreign) refuse_place(root, place);
  make_directory(root);
  if (::mkdir((root / mark_folder).c_str(), 0755) != 0 && errno != EEXIST)
    fail_at("cannot make the folder", root / mark_folder, errno);
  RunFiles files(root);
  files.lock_ = std::make_unique<DirectoryLock>(root, root / mark_folder / "lock");
  const Place place = look(root);  // another process may have been quicker
  if (place.kind == Place::Kind::foreign) refuse_place(root, place);
  if (place.kind == Place::Kind::free) files.set_mark(mark);
  files.load();
  files.clear_staging();
  for (const std::string& name : entries_of(root / mark_folder)) {
    if (name.ends_with(".part")) remove_one(root, std::string(mark_folder) + "/" + name, false);
  }
  files.compact();
  std::vector<std::string> half_removed;
  for (const auto& [name, entry] : files.entries_) {
    if (entry.removing) half_removed.push_back(name);
  }
  for (const std::string& name : half_removed) files.remove(name);
  return files;
}

void RunFiles::set_mark(const Json& mark) {
  mark_ = {{"format", format}};
  if (mark.is_object()) mark_.update(mark);
  write_file_atomic(mark_path(root_), mark_.dump(2) + "\n");
}

void RunFiles::load() {
  mark_ = parse_json(read_file(mark_path(root_), ExitCode::resources, "the run directory's mark"),
                     mark_path(root_).string(), ExitCode::resources);
  if (!mark_.is_object() || !mark_.contains("format") || mark_["format"] != format) {
    fail(ExitCode::resources, {.what = "the run directory was made by another version of steerlm",
                               .where = root_.string(),
                               .advice = "choose another run_dir"});
  }
  if (!is_file(manifest_path(root_))) return;
  const std::string bytes = read_file(manifest_path(root_), ExitCode::resources, "the run directory's manifest");
  for (size_t begin = 0; begin < bytes.size();) {
    const size_t end = bytes.find('\n', begin);
    if (end == std::string::npos) break;  // torn by a kill: what it speaks of was not done
    apply(parse_json(std::string_view(bytes).substr(begin, end - begin), manifest_path(root_).string(),
                     ExitCode::resources));
    begin = end + 1;
  }
}

void RunFiles::apply(const Json& line) {
  const auto damaged = [&] {
    fail(ExitCode::resources, {.what = "the run directory's manifest is damaged",
                               .where = manifest_path(root_).string(),
                               .found = dump_json(line),
                               .advice = "choose another run_dir"});
  };
  if (!line.is_object() || line.empty() || !line.begin().value().is_string()) damaged();
  const std::string kind = line.begin().key(), name = line.begin().value().get<std::string>();
  Entry entry{.folder = kind == "folder", .run = kind == "run"};
  if (line.contains("size") && line["size"].is_number_integer() && line.contains("sha256") &&
      line["sha256"].is_string()) {
    entry.size = line["size"].get<std::int64_t>();
    entry.sha256 = line["sha256"].get<std::string>();
  }
  if (kind == "output") {
    outputs_[name] = entry;
    return;
  }
  if (kind == "moved") {
    outputs_.erase(name);
    return;
  }
  if (!is_inner_name(name)) damaged();
  if (kind == "removing") {
    for (const std::string& each : names_at(name)) entries_[each].removing = true;
  } else if (kind == "gone") {
    for (const std::string& each : names_at(name)) entries_.erase(each);
  } else if (kind == "file" || entry.folder || entry.run) {
    entries_[name] = entry;
  } else {
    damaged();
  }
}

void RunFiles::compact() {
  std::string bytes;
  for (const auto& [name, entry] : entries_) {
    bytes += dump_json(entry_line(entry.run ? "run" : entry.folder ? "folder" : "file", name, entry)) + "\n";
    if (entry.removing) bytes += dump_json(entry_line("removing", name)) + "\n";
  }
  for (const auto& [path, entry] : outputs_) bytes += dump_json(entry_line("output", path, entry)) + "\n";
  manifest_.reset();
  if (!is_file(manifest_path(root_)) ||
      read_file(manifest_path(root_), ExitCode::resources, "the run directory's manifest") != bytes)
    write_file_atomic(manifest_path(root_), bytes);
  manifest_.emplace(manifest_path(root_), OutputFile::Mode::append);
  remove_one(root_, std::string(mark_folder) + "/staging", true);
}

void RunFiles::enter(const std::vector<Json>& lines) {
  std::string bytes;
  for (const Json& line : lines) bytes += dump_json(line) + "\n";
  manifest_->write(bytes);
  manifest_->sync();
  for (const Json& line : lines) apply(line);
}

std::vector<std::string> RunFiles::names_at(const std::string& name) const {
  std::vector<std::string> names;
  if (entries_.contains(name)) names.push_back(name);
  const std::string below = name.empty() ? "" : name + "/";
  for (auto entry = entries_.lower_bound(below); entry != entries_.end() && entry->first.starts_with(below); ++entry)
    names.push_back(entry->first);
  return names;
}

std::vector<std::string> RunFiles::folders_in(const std::string& folder) const {
  std::vector<std::string> names;
  for (const std::string& name : names_at(folder)) {
    const Entry& entry = entries_.at(name);
    if (entry.folder && !entry.removing && Path(name).parent_path() == folder) names.push_back(name);
  }
  return names;
}

std::optional<Path> RunFiles::foreign_at(const std::string& name) const {
  const Path path = root_ / name;
  const auto status = status_of(path);
  if (!status) return std::nullopt;
  const auto entry = entries_.find(name);
  if (entry == entries_.end()) return path;
  if (entry->second.run) return std::nullopt;  // has a manifest of its own
  if (!entry->second.folder) return S_ISREG(status->st_mode) ? std::nullopt : std::optional(path);
  if (!S_ISDIR(status->st_mode)) return path;
  for (const std::string& inside : entries_of(path)) {
    if (auto foreign = foreign_at(name + "/" + inside)) return foreign;
  }
  return std::nullopt;
}

void RunFiles::refuse_foreign(const std::string& name) const {
  const auto foreign = foreign_at(name);
  if (!foreign) return;
  fail(ExitCode::resources, {.what = "a file that this run did not write is in the way",
                             .where = foreign->string(),
                             .advice = "move it elsewhere, or choose another run_dir"});
}

void RunFiles::refuse_changed(const std::string& name) const {
  for (const Difference& other : differences(name)) {
    if (other.gone) continue;
    fail(ExitCode::resources, {.what = "a file was changed after this run wrote it, and would be replaced",
                               .where = other.path.string(),
                               .advice = "move " + (root_ / name).string() + " elsewhere and give the command again"});
  }
}

std::vector<RunFiles::Difference> RunFiles::differences(const std::string& name) const {
  std::vector<Difference> found;
  for (const std::string& each : names_at(name)) {
    const Entry& entry = entries_.at(each);
    if (!entry.size) continue;
    if (const auto other = difference(root_ / each, entry)) found.push_back(*other);
  }
  return found;
}

std::vector<RunFiles::Difference> RunFiles::output_differences() const {
  std::vector<Difference> found;
  for (const auto& [path, entry] : outputs_) {
    if (!entry.size) continue;
    if (const auto other = difference(path, entry)) found.push_back(*other);
  }
  return found;
}

// What a killed process was writing; its names begin with a number.
void RunFiles::clear_staging() const {
  if (!is_folder(staging_path(root_))) return;
  for (const std::string& name : entries_of(staging_path(root_))) {
    if (name.front() >= '0' && name.front() <= '9') steerlm::remove_all(staging_path(root_) / name);
  }
}

Path RunFiles::staged() {
  make_directory(staging_path(root_));
  return staging_path(root_) / std::to_string(++staged_);
}

void RunFiles::write(const std::string& name, std::string_view bytes) {
  refuse_foreign(name);
  const Path part = staged();
  {
    OutputFile file(part, OutputFile::Mode::create);
    file.write(bytes);
    file.sync();
  }
  enter({entry_line("file", name)});  // the hash follows the bytes: a kill in between makes no file look changed
  publish(part, root_ / name);
  const Entry entry{.size = static_cast<std::int64_t>(bytes.size()), .sha256 = sha256_hex(bytes)};
  enter({entry_line("file", name, entry)});
}

Path RunFiles::grow(const std::string& name) {
  refuse_foreign(name);
  if (!owns(name)) enter({entry_line("file", name)});
  return root_ / name;
}

void RunFiles::make_folder(const std::string& name) {
  if (is_folder(root_ / name)) return;
  if (status_of(root_ / name)) refuse_foreign(name);
  enter({entry_line("folder", name)});
  make_directory(root_ / name);
}

void RunFiles::enter_run(const std::string& name) {
  if (!owns(name)) enter({entry_line("run", name)});
}

void RunFiles::write_folder(const std::string& name, bool record_hashes,
                            const std::function<void(const Path& part)>& fill) {
  refuse_foreign(name);
  const Path part = staged(), target = root_ / name;
  make_directory(part);
  fill(part);
  sync_folder(part);
  refuse_foreign(name);  // filling may have taken a while
  refuse_changed(name);

  std::vector<Json> lines{entry_line("folder", name)}, hashes;
  std::vector<std::string> left_out = names_at(name);  // of the folder that is there, and of this one no more
  const std::function<void(const Path&, const std::string&)> list = [&](const Path& folder, const std::string& below) {
    std::erase(left_out, below);
    for (const std::string& inside : entries_of(folder)) {
      const std::string inner = below + "/" + inside;
      if (is_folder(folder / inside)) {
        lines.push_back(entry_line("folder", inner));
        list(folder / inside, inner);
        continue;
      }
      std::erase(left_out, inner);
      lines.push_back(entry_line("file", inner));
      if (record_hashes) hashes.push_back(entry_line("file", inner, record(folder / inside)));
    }
  };
  list(part, name);
  enter(lines);

  if (!is_folder(target)) {
    publish(part, target);
  } else if (::renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) {
    sync_folder(target.parent_path());
  } else if (errno == EINVAL || errno == ENOSYS) {  // a file system that cannot swap
    publish(target, staged());
    publish(part, target);
  } else {
    fail_at("cannot replace the folder", target, errno);
  }
  clear_staging();
  for (const std::string& gone : left_out) hashes.push_back(entry_line("gone", gone));
  if (!hashes.empty()) enter(hashes);
}

void RunFiles::enter_output(const Path& named, bool hash) {
  std::error_code error;
  const Path path = stdfs::is_symlink(named, error) ? stdfs::canonical(named, error) : named;
  if (hash && !is_file(path)) return;            // written straight through
  if (find_invalid_utf8(path.native())) return;  // JSON cannot name it: nobody proves later that it is ours
  const std::optional<std::string> inside = inner_name(root_, path);
  const Entry entry = hash ? record(path) : Entry{};
  enter({entry_line(inside ? "file" : "output", inside ? *inside : path.string(), entry)});
}

void RunFiles::remove_files(const std::vector<std::string>& names) const {
  for (const std::string& name : names) {
    if (!entries_.at(name).folder && !entries_.at(name).run) remove_one(root_, name, false);
  }
  for (auto name = names.rbegin(); name != names.rend(); ++name) {  // what is deeper comes later
    if (entries_.at(*name).folder) remove_one(root_, *name, true);
  }
}

void RunFiles::remove(const std::string& name) {
  if (names_at(name).empty()) return;
  enter({entry_line("removing", name)});
  remove_files(names_at(name));
  enter({entry_line("gone", name)});
}

void RunFiles::remove_all(const std::vector<std::string>& keep) {
  std::vector<std::string> names;
  for (const auto& [name, entry] : entries_) {
    if (!entry.run && std::ranges::find(keep, name) == keep.end()) names.push_back(name);
  }
  remove_files(names);
  for (const std::string& name : names) entries_.erase(name);
  compact();
}

Path RunFiles::set_aside(const Path& path) {
  Path kept = path;
  kept += ".previous";
  if (status_of(kept)) {
    fail(ExitCode::resources,
         {.what = "what is kept here would be replaced", .where = kept.string(), .advice = "move it elsewhere"});
  }
  publish(path, kept);
  const auto inside = inner_name(root_, path);
  enter({inside ? entry_line("gone", *inside) : entry_line("moved", path.string())});
  return kept;
}

bool RunFiles::holds(const Path& path) const { return inner_name(root_, path).has_value(); }

void RunFiles::take_in(const Path& path, const std::string& name) {
  refuse_foreign(name);
  enter({entry_line("file", name)});
  if (::rename(path.c_str(), (root_ / name).c_str()) != 0) {
    if (errno != EXDEV) fail_at("cannot move the file", path, errno);
    const Path part = staged();  // another file system
    std::error_code error;
    if (!stdfs::copy_file(path, part, error)) fail_at("cannot copy the file", path, error.value());
    OutputFile(part, OutputFile::Mode::append).sync();
    publish(part, root_ / name);
    if (::unlink(path.c_str()) != 0) fail_at("cannot remove", path, errno);
  }
  sync_folder(root_);
  enter({entry_line("moved", path.string())});
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
    if (inner == mark_folder) continue;
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
  for (const std::string& name : entries_of(root / mark_folder)) {
    if (name != "run.json" && name != "files.jsonl" && name != "lock" && name != "staging" && !name.ends_with(".part"))
      refuse_removal(root / mark_folder / name);
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
    remove_one(root, std::string(mark_folder) + "/" + name, false);
  remove_one(root, mark_folder, true);
  if (::rmdir(root.c_str()) != 0 && errno != ENOTEMPTY) fail_at("cannot remove", root, errno);
}

}  // namespace

void check_run_removal(const Path& root) { refuse_foreign_run(root); }

void remove_run(const Path& root) {
  refuse_foreign_run(root);
  remove_checked_run(root);
}

}  // namespace steerlm
