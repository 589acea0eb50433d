// Where the paths of a pipeline lead: two spellings of one place are told to be one, also before anything is there.
#pragma once

#include "steerlm/core/fs.h"

namespace steerlm {

// Absolute, links followed, also a link whose target is not there yet. What a descriptor of this process leads to
// (/dev/stdout) is not followed: its place is below /proc.
Path place_of(const Path& path);

// Whether the first place is the second or lies in it, by their names or as one file or folder on disk.
bool lies_in(const Path& place, const Path& folder);

}  // namespace steerlm
