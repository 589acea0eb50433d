#include "steerlm/core/run_files.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "core/no_follow.h"
#include "steerlm/core/hash.h"
#include "steerlm/core/run_place.h"
#include "steerlm/core/utf8.h"

namespace steerlm {
namespace {

namespace stdfs = std::filesystem;

constexpr const char* mark_folder = run_mark_folder;
constexpr int format = 1;

Path mark_path(const Path& root) { return root / mark_folder / "run.json"; }
Path manifest_path(const Path& root) { return root / mark_folder / "files.jsonl"; }
Path staging_path(const Path& root) { return root / mark_folder / "staging"; }

// Nothing that leads out of the folder, whatever a damaged manifest says. For the system a name ends at a NUL: "..\0"
// is "..", too.
bool is_inner_name(const std::string& name) {
  if (name.empty() || name.front() == '/' || name.find('\0') != std::string::npos) return false;
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

// As it is in the manifest.
Json whole_line(const std::string& name, const RunFiles::Entry& entry) {
  return entry_line(entry.run ? "run" : entry.folder ? "folder" : "file", name, entry);
}

Json output_line(const std::string& path, const RunFiles::Entry& entry) {
  Json line = entry_line("output", place_text(path), entry);
  line["by"] = entry.by;
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

using Entries = std::map<std::string, RunFiles::Entry>;

// The first name at or below `name`, which lies at `path`, that is not as `entries` list it.
std::optional<std::string> foreign_name(const Path& path, const std::string& name, const Entries& entries) {
  const auto status = status_of(path);
  if (!status) return std::nullopt;
  const auto entry = entries.find(name);
  if (entry == entries.end()) return name;
  if (entry->second.run) return std::nullopt;  // has a manifest of its own
  if (!entry->second.folder) return S_ISREG(status->st_mode) ? std::nullopt : std::optional(name);
  if (!S_ISDIR(status->st_mode)) return name;
  for (const std::string& inside : entries_of(path)) {
    if (auto foreign = foreign_name(path / inside, name + "/" + inside, entries)) return foreign;
  }
  return std::nullopt;
}

// The same, and the first one whose bytes are not those that were recorded; what cannot be read counts too.
std::optional<std::string> other_name(const Path& path, const std::string& name, const Entries& entries) try {
  if (auto foreign = foreign_name(path, name, entries)) return foreign;
  for (const auto& [each, entry] : entries) {
    if (!entry.size) continue;
    const auto other = difference(path / Path(each).lexically_relative(name), entry);
    if (other && !other->gone) return each;
  }
  return std::nullopt;
} catch (const Error&) {
  return name;
}

[[noreturn]] void refuse_in_the_way(const Path& path) {
  fail(ExitCode::resources, {.what = "a file that this run did not write is in the way",
                             .where = path.string(),
                             .advice = "move it elsewhere, or choose another run_dir"});
}

// Two folders change places; a file system that cannot do so in one step does it in three.
void exchange(const Path& part, const Path& target) {
  if (::renameat2(AT_FDCWD, part.c_str(), AT_FDCWD, target.c_str(), RENAME_EXCHANGE) == 0) return;
  if (errno != EINVAL && errno != ENOSYS) fail_file("replace the folder", target, errno);
  const Path aside = part.string() + ".old";
  publish(target, aside);
  publish(part, target);
  publish(aside, part);
}

}  // namespace

RunFiles RunFiles::read(const Path& root) {
  RunFiles files(root);
  files.load();
  return files;
}

RunFiles RunFiles::open(const Path& root, const Json& mark) {
  holds_run(root);  // refuses a foreign one
  make_directory(root);
  if (::mkdir((root / mark_folder).c_str(), 0755) != 0 && errno != EEXIST)
    fail_file("make the folder", root / mark_folder, errno);
  RunFiles files(root);
  files.lock_ = std::make_unique<DirectoryLock>(root, root / mark_folder / "lock");
  if (!holds_run(root)) files.set_mark(mark);  // another process may have been quicker
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
  const auto damaged = [&](const Path& path, const std::string& what) {
    fail(ExitCode::resources, {.what = what, .where = path.string(), .advice = "choose another run_dir"});
  };
  mark_ = parse_json(read_file(mark_path(root_), ExitCode::resources, "the run directory's mark"),
                     mark_path(root_).string(), ExitCode::resources);
  if (!mark_.is_object() || !mark_.contains("format") || mark_["format"] != format)
    damaged(root_, "the run directory was made by another version of steerlm");
  if (mark_.contains("stage") && !mark_["stage"].is_string())
    damaged(mark_path(root_), "the run directory's mark is damaged: its 'stage' is no text");
  const Path lock = root_ / mark_folder / "lock";
  if (status_of(lock) && !is_file(lock)) damaged(lock, "the run directory's lock is no file");
  if (status_of(staging_path(root_)) && !is_folder(staging_path(root_)))
    damaged(staging_path(root_), "a file is where the run directory has a folder");
  if (!is_file(manifest_path(root_))) {
    if (status_of(manifest_path(root_))) damaged(manifest_path(root_), "the run directory's manifest is no file");
    // A kill right after the marking leaves none.
    if (entries_of(root_).size() > 1)
      damaged(manifest_path(root_), "the run directory's manifest is gone, which says what the run wrote");
    return;
  }
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
    if (line.contains("by")) entry.by = line["by"];
    entry.own = is_identity_of(entry.by, root_);
    const Path place = parse_place(name);
    // A place that is not absolute would be another one in another current directory: it is nobody's.
    if (place.is_absolute()) outputs_[entry.own ? place_now(place, entry.by, root_).native() : place.native()] = entry;
    return;
  }
  if (kind == "moved") {
    outputs_.erase(parse_place(name).native());
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
    bytes += dump_json(whole_line(name, entry)) + "\n";
    if (entry.removing) bytes += dump_json(entry_line("removing", name)) + "\n";
  }
  for (const auto& [path, entry] : outputs_) bytes += dump_json(output_line(path, entry)) + "\n";
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
  const auto foreign = foreign_name(root_ / name, name, entries_);
  return foreign ? std::optional(root_ / *foreign) : std::nullopt;
}

void RunFiles::refuse_foreign(const std::string& name) const {
  if (const auto foreign = foreign_at(name)) refuse_in_the_way(*foreign);
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
    if (const auto other = difference(path, entry))
      found.push_back({other->path, other->gone || !is_file(path), entry.own});
  }
  return found;
}

// What a killed process left. Names that begin with a number are its own files: N, what it was writing, and N.old, the
// folder that made way for it (exchange). Other names may hold somebody else's file (old-N) and stay.
void RunFiles::clear_staging() const {
  if (!is_folder(staging_path(root_))) return;
  for (const std::string& name : entries_of(staging_path(root_))) {
    if (name.front() >= '0' && name.front() <= '9') steerlm::remove_all(staging_path(root_) / name);
  }
}

// What ends with an exception leaves nothing in the staging folder: a half-written checkpoint fills a full disk.
void RunFiles::with_staged(const std::function<void(const Path& part)>& act) {
  make_directory(staging_path(root_));
  const Path part = staging_path(root_) / std::to_string(++staged_);
  try {
    act(part);
  } catch (...) {
    std::error_code ignored;  // the first failure is the one to tell
    stdfs::remove_all(part, ignored);
    throw;
  }
}

void RunFiles::write(const std::string& name, std::string_view bytes) {
  refuse_foreign(name);
  with_staged([&](const Path& part) {
    {
      OutputFile file(part, OutputFile::Mode::create);
      file.write(bytes);
      file.sync();
    }
    enter({entry_line("file", name)});  // the hash follows the bytes: a kill in between makes no file look changed
    publish(part, root_ / name);
  });
  const Entry entry{.size = static_cast<std::int64_t>(bytes.size()), .sha256 = sha256_hex(bytes)};
  enter({entry_line("file", name, entry)});
}

void RunFiles::write_last(const std::string& name, std::string_view bytes) {
  refuse_foreign(name);
  entries_[name] = {.size = static_cast<std::int64_t>(bytes.size()), .sha256 = sha256_hex(bytes)};
  compact();
  write_in_run(root_ / name, bytes);
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
  const Path target = root_ / name;
  std::vector<Json> lines{entry_line("folder", name)}, after;
  with_staged([&](const Path& part) {
    make_directory(part);
    fill(part);
    sync_folder(part);
    refuse_foreign(name);  // filling may have taken a while
    refuse_changed(name);

    Entries before, now{{name, {.folder = true}}};
    for (const std::string& each : names_at(name)) before.emplace(each, entries_.at(each));
    const std::function<void(const Path&, const std::string&)> list = [&](const Path& folder,
                                                                          const std::string& below) {
      for (const std::string& inside : entries_of(folder)) {
        const std::string inner = below + "/" + inside;
        const bool is_inner_folder = is_folder(folder / inside);
        now[inner].folder = is_inner_folder;
        lines.push_back(entry_line(is_inner_folder ? "folder" : "file", inner));
        if (is_inner_folder)
          list(folder / inside, inner);
        else if (record_hashes)
          after.push_back(entry_line("file", inner, record(folder / inside)));
      }
    };
    list(part, name);
    enter(lines);

    if (!is_folder(target)) {
      publish(part, target);
    } else {
      exchange(part, target);
      // What somebody has put into the old folder at the last moment would be removed with it.
      if (const auto other = other_name(part, name, before)) {
        // Under a name that clear_staging leaves alone: no failure and no kill from here on takes it along.
        const Path held = staging_path(root_) / ("old-" + part.filename().string());
        publish(part, held);
        exchange(held, target);
        steerlm::remove_all(held);
        lines.clear();
        for (const auto& [each, entry] : now) lines.push_back(entry_line("gone", each));
        for (const auto& [each, entry] : before) lines.push_back(whole_line(each, entry));
        enter(lines);
        refuse_in_the_way(root_ / *other);
      }
      sync_folder(target.parent_path());
    }
    for (const auto& [each, entry] : before) {
      if (!now.contains(each)) after.push_back(entry_line("gone", each));
    }
  });
  clear_staging();
  if (!after.empty()) enter(after);
}

void RunFiles::enter_output(const Path& named, bool hash) {
  std::error_code error;
  const Path path = stdfs::is_symlink(named, error) ? stdfs::canonical(named, error) : absolute_place(named);
  if (hash && !is_file(path)) return;  // written straight through
  Entry entry = hash ? record(path) : Entry{};
  if (const std::optional<std::string> inside = inner_name(root_, path)) {
    // JSON cannot name every file: of such a one nobody proves later that it is ours.
    if (!find_invalid_utf8(*inside)) enter({entry_line("file", *inside, entry)});
    return;
  }
  entry.by = folder_identity(root_);
  enter({output_line(path, entry)});
}

void RunFiles::remove(const std::string& name) {
  if (names_at(name).empty()) return;
  enter({entry_line("removing", name)});
  remove_files(names_at(name));
  enter({entry_line("gone", name)});
}

namespace {

Path previous_of(const Path& path) { return path.string() + ".previous"; }

}  // namespace

void RunFiles::check_set_aside(const Path& path) {
  Path kept = previous_of(path);
  if (!status_of(kept)) return;
  fail(ExitCode::resources,
       {.what = "an older kept file is in the way", .where = kept.string(), .advice = "move it elsewhere"});
}

Path RunFiles::set_aside(const Path& path) {
  check_set_aside(path);
  Path kept = previous_of(path);
  if (is_file(path)) {
    publish_new(path, kept);
  } else if (is_folder(path)) {
    publish(path, kept);  // which replaces no file, and no folder that holds something
  } else {
    refuse_in_the_way(path);
  }
  const auto inside = inner_name(root_, path);
  enter({inside ? entry_line("gone", *inside) : entry_line("moved", place_text(absolute_place(path)))});
  return kept;
}

bool RunFiles::holds(const Path& path) const { return inner_name(root_, path).has_value(); }

void RunFiles::take_in(const Path& path, const std::string& name) {
  refuse_foreign(name);
  enter({entry_line("file", name)});
  if (::rename(path.c_str(), (root_ / name).c_str()) != 0) {
    if (errno != EXDEV) fail_file("move the file", path, errno);
    with_staged([&](const Path& part) {  // another file system
      std::error_code error;
      if (!stdfs::copy_file(path, part, error)) fail_file("copy the file", path, error.value());
      OutputFile(part, OutputFile::Mode::append).sync();
      publish(part, root_ / name);
    });
    if (::unlink(path.c_str()) != 0) fail_file("remove", path, errno);
  }
  sync_folder(root_);
  enter({entry_line("moved", place_text(absolute_place(path)))});
}

}  // namespace steerlm
