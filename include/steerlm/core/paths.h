// Looking at a path that a user has named. Where it cannot be looked at (a name that is too long, a folder on the way
// that may not be entered, links in a circle) these throw `code`, the exit code of the file's kind, and say the cause;
// the functions of std::filesystem would throw an exception of the library.
#pragma once

#include <cstdint>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

// Links are followed: one that leads nowhere is not there.
bool is_there(const Path& path, ExitCode code);
bool is_folder(const Path& path, ExitCode code);

std::int64_t file_bytes(const Path& path, ExitCode code);

// The regular files of a folder, sorted by name; links are followed.
std::vector<Path> files_of(const Path& folder, ExitCode code);

// For JSON, which is UTF-8: bytes of the path that are none are written as \xE9.
std::string utf8_text(const Path& path);

}  // namespace steerlm
