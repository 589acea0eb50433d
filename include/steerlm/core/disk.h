// Room on the file system that a folder is on.
#pragma once

#include <cstdint>
#include <optional>

#include "steerlm/core/fs.h"

namespace steerlm {

// Bytes that this user may still write to `folder`, or where it is not there yet, to the nearest folder above it that
// is. Nothing where the file system does not say.
std::optional<std::int64_t> free_disk_bytes(const Path& folder);

// What the regular files below `folder` take, links not followed; 0 where it is not there or cannot be read.
std::int64_t disk_bytes_of(const Path& folder);

}  // namespace steerlm
