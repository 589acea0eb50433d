// Files looked at and removed by their names: a link stands for itself, never for what it leads to.
#pragma once

#include <sys/stat.h>

#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/fs.h"

namespace steerlm {

std::optional<struct stat> status_of(const Path& path);  // nothing: no such file
bool is_file(const Path& path);                          // a regular one
bool is_folder(const Path& path);
std::vector<std::string> entries_of(const Path& folder);  // names, sorted

// Removes the regular file, or the empty folder, `name` below `root`, and nothing else.
void remove_one(const Path& root, const std::string& name, bool folder);

}  // namespace steerlm
