// Looking at a path that a user has named. Where it cannot be looked at (a name that is too long, a folder on the way
// that may not be entered, links in a circle) these throw `code`, the exit code of the file's kind, and say the cause;
// the functions of std::filesystem would throw an exception of the library.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

// Links are followed: one that leads nowhere is not there, or, in a model folder, an error.
bool is_there(const Path& path, ExitCode code);
bool is_folder(const Path& path, ExitCode code);

std::int64_t file_bytes(const Path& path, ExitCode code);

// The regular files of a folder, sorted by name; links are followed.
std::vector<Path> files_of(const Path& folder, ExitCode code);

// The fault of a path with a part that only a shell expands, '~' in front or a variable such as $HOME, with the path
// that it stands for as advice. Nothing where it has none, or a file of that very name is there.
std::optional<Fault> unexpanded(const std::string& path);

// Of a file that cannot be opened: its `code`, but for the errors that are none of the file's (too many files are open,
// no memory); and what to do about the error, or "".
ExitCode code_of_open(int error, ExitCode code);
std::string advice_of_open(int error);

// What to do where no data file is at `path` and it reads like a data set's name on the Hugging Face hub
// (nvidia/HelpSteer2) or like an address; else "".
std::string download_advice(const std::string& path);

// A path, or another text, as one word of a shell, for commands that a message gives: 'it'\''s a.jsonl'.
std::string shell_word(const std::string& text);

// For JSON, which is UTF-8: bytes of the path that are none are written as \xE9.
std::string utf8_text(const Path& path);

}  // namespace steerlm
