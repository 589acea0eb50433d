// The one place that opens a path which a user has named as output: what is there decides, and nothing of it is harmed.
//
//   nothing             a file that appears when it is whole, or never
//   a regular file      refused, but with `overwrite`: replaced in one step when the new one is whole, its mode kept
//   a symbolic link     its target, in the same way; the link stays
//   -, /dev/stdout, /dev/fd/N, a FIFO, a terminal or another character device    written straight through
//   a folder, a socket, a disk                                                   refused
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

struct OutputOptions {
  bool overwrite = false;           // a regular file may be replaced
  std::vector<std::string> inputs;  // what the command reads: files, "-", folders with all that is in them
  bool make_folder = false;         // the folder of the output is made where it is missing
};

// Where the path leads: to a file, or to something that is written straight through.
struct OutputPlace {
  std::string named;     // as the user wrote it, for messages
  Path file;             // links followed
  bool through = false;  // no file: a device, a FIFO, or an open descriptor
  int descriptor = -1;   // of this process: standard output and the like
  bool exists = false;   // a regular file is there
};

// Where `path` leads. Throws recipe: it is an input, or lies in a folder that is read; resources: a folder, a kind of
// file that is not written to, a place where no file can be made. An existing file is no fault.
OutputPlace find_output(const std::string& path, const OutputOptions& options);
// Looks, changes nothing: for the start of a command, before anything is loaded. Throws as find_output, and resources
// for an existing regular file without `overwrite`, or one that the system lets nobody replace.
OutputPlace check_output(const std::string& path, const OutputOptions& options);

// Throws recipe where the path is an input, or lies in a folder that is read, whatever is there: for a file that is
// made beside an output.
void refuse_input_as_output(const std::string& path, const std::vector<std::string>& inputs);
// Whether the file is one of the inputs, or a file of a folder that is read.
bool is_read(const Path& file, const std::vector<std::string>& inputs);

// The folder that a command is to make: nothing or an empty folder is there, links are followed. Throws as
// check_output; a regular file is a fault without `overwrite`.
Path check_output_folder(const std::string& path, const OutputOptions& options);

// Gives a file that is whole its name: in place of a regular file only with `overwrite`, whose permissions stay; never
// in place of anything else. Throws resources.
void publish_output(OutputFile& file, const Path& to, bool overwrite);

// Opens what is written straight through.
OutputFile open_through(const OutputPlace& place);

class Output {
 public:
  // check_output, and opens: a temporary beside the file, or what is written straight through.
  Output(const std::string& path, const OutputOptions& options);
  Output(Output&& other) noexcept;
  Output& operator=(Output&&) = delete;
  ~Output();  // not finished: no file is left

  void write(std::string_view bytes);
  void finish();

 private:
  OutputPlace place_;
  bool overwrite_ = false;
  std::optional<OutputFile> file_;
};

}  // namespace steerlm
