// A folder that a run writes into, and which files in it are the run's own: what is not, is never replaced or removed.
//
//   DIR/.steerlm-run/run.json      the mark, {"format": 1, …}; a folder without it is no run directory
//   DIR/.steerlm-run/files.jsonl   the manifest, JSON lines: {"file", "size", "sha256"} (a growing file has its name
//                                  alone), {"folder"}, {"run"} (a folder with a mark of its own), {"output", …, "by"}
//                                  (a file elsewhere, and the folder that wrote it, core/run_place), {"removing"},
//                                  {"gone"}
//   DIR/.steerlm-run/lock          flock(2)
//   DIR/.steerlm-run/staging/      what is being written and has no name yet
//
// A name is entered before a file gets it and struck out after the file is gone. So a kill leaves no own file that is
// not listed, and a listed name that is not there means nothing. Size and hash are entered after the bytes have their
// name: where they do not fit, somebody else has changed the file.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/lock.h"

namespace steerlm {

inline constexpr const char* run_mark_folder = ".steerlm-run";

class RunFiles {
 public:
  // free: nothing, or an empty folder. marked: a run directory. foreign: anything else, `found` says what.
  struct Place {
    enum class Kind { free, marked, foreign } kind = Kind::free;
    std::string found;
  };
  static Place look(const Path& root);  // throws resources where it cannot be looked at
  // Throws resources where open() could not make or write the folder, as far as that is seen without trying.
  static void check_writable(const Path& root);

  // Whether it is a run directory; otherwise it is free. Throws as look(), and resources for a foreign folder.
  static bool holds_run(const Path& root);
  // The same of a folder for runs of one stage, which the key or option `given_as` names. Throws recipe too: it is the
  // run directory of another stage.
  static bool holds_run_of(const Path& root, const std::string& stage, const std::string& given_as);

  // Of a marked folder, without a lock: for reading.
  static RunFiles read(const Path& root);
  // Makes and locks the folder, and marks it with `mark` where it is new. Throws resources: in use, or foreign.
  static RunFiles open(const Path& root, const Json& mark);

  const Path& root() const { return root_; }
  const Json& mark() const { return mark_; }
  void set_mark(const Json& mark);
  bool owns(const std::string& name) const { return entries_.contains(name); }
  bool owns_run(const std::string& name) const { return owns(name) && entries_.at(name).run; }
  bool holds(const Path& path) const;  // whether the path leads into the folder

  std::vector<std::string> runs() const;  // relative names of the runs of their own within
  // Relative names of owned folders right below `folder`.
  std::vector<std::string> folders_in(const std::string& folder) const;
  // The first file or folder at or below `name` that this run has not made; a link is none that it has made.
  std::optional<Path> foreign_at(const std::string& name) const;
  // The files with a recorded hash, at or below `name`, that are not as they were written; likewise the outputs. An
  // output in whose place a link, a FIFO or a device stands is gone: whoever writes there decides what that is.
  struct Difference {
    Path path;
    bool gone = false;  // else changed
    bool own = true;    // false: an output of the run directory that this one is a copy of
  };
  std::vector<Difference> differences(const std::string& name) const;
  std::vector<Difference> output_differences() const;

  // A whole file, in place of an own one. Throws resources where something else is at its place.
  void write(const std::string& name, std::string_view bytes);
  // The same of the file that says that the run is whole: it takes its name when the manifest is compact, with this
  // file in it, and nothing temporary is left, since nobody tidies up in a finished run. After a kill just before that
  // the file is one that is gone.
  void write_last(const std::string& name, std::string_view bytes);
  // Enters a file that the caller opens for appending, and returns its path. Throws as write.
  Path grow(const std::string& name);
  // A folder that others write into too; one that is there is not taken for our own.
  void make_folder(const std::string& name);
  // The folder of a run of its own, which that run makes.
  void enter_run(const std::string& name);
  // A folder that `fill` writes the files of, in place of an own one in one step; `part` is there and empty.
  void write_folder(const std::string& name, bool record_hashes, const std::function<void(const Path& part)>& fill);
  // A file outside of the folder, or one that another part of the program writes. With `hash` its size and hash are
  // recorded: it is whole.
  void enter_output(const Path& path, bool hash);
  // Whether this run directory, and not the one that it is a copy of, has entered such a file.
  bool owns_output(const Path& path) const;
  // The outputs that were entered are no longer spoken of.
  void forget_outputs() { outputs_.clear(); }

  // Throws resources where something is at or below `name` that is not ours.
  void refuse_foreign(const std::string& name) const;
  // Throws resources where a file at or below `name` has not the bytes that were recorded.
  void refuse_changed(const std::string& name) const;

  // Removes an own file, or an own folder with what is owned in it; what is not ours stays, and the folder with it.
  void remove(const std::string& name);
  // The same for everything but nested runs and `keep`.
  void remove_all(const std::vector<std::string>& keep);
  // Throws resources where remove_all may not remove something.
  void check_removal(const std::vector<std::string>& keep) const;
  // An own file, folder or output that was changed since is kept as NAME.previous, which is not ours any more. Throws
  // resources where that name is taken, or no file or folder is there. Returns the new path.
  Path set_aside(const Path& path);
  static void check_set_aside(const Path& path);  // throws as set_aside for a name that is taken
  // A file elsewhere that the caller knows to be the run's own moves into the folder.
  void take_in(const Path& path, const std::string& name);
  // The manifest without what it has struck out.
  void compact();

  struct Entry {
    bool folder = false, run = false, removing = false;
    std::optional<std::int64_t> size;  // with `sha256`: of a whole file
    std::string sha256;
    Json by;          // of an output: the run directory that wrote it
    bool own = true;  // which is this one
  };

 private:
  explicit RunFiles(Path root) : root_(std::move(root)) {}
  void load();
  void enter(const std::vector<Json>& lines);
  void apply(const Json& line);
  std::vector<std::string> names_at(const std::string& name) const;
  std::vector<std::string> removable(const std::vector<std::string>& keep) const;
  void remove_files(const std::vector<std::string>& names) const;
  void with_staged(const std::function<void(const Path& part)>& act);
  void clear_staging() const;

  Path root_;
  Json mark_;
  std::unique_ptr<DirectoryLock> lock_;
  std::optional<OutputFile> manifest_;
  std::map<std::string, Entry> entries_;  // by name, relative to the root
  std::map<std::string, Entry> outputs_;  // by path
  int staged_ = 0;
};

// write_file_atomic of a file right below a run directory, in place of an own one that was entered before. Its
// temporary is in the folder of the mark, where open() removes what a kill leaves. Elsewhere it is beside the file.
void write_in_run(const Path& path, std::string_view bytes);

// Removes a run directory by its manifest, nested runs by theirs. Throws resources, before anything is removed, where
// it holds a file that no run has written.
void remove_run(const Path& root);
void check_run_removal(const Path& root);  // throws as remove_run would

}  // namespace steerlm
