// The files of a BlockOutput: what is there, whose it is, and whether its bytes are those that a ledger says.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/run_place.h"

namespace steerlm {

bool is_there(const Path& path);  // links are not followed: a dangling one is there
bool is_regular(const Path& path);
Path part_of(const Path& path);  // PATH.part
bool has_sha256(const Path& file, const std::string& sha256);

// One process at a time writes a part file, whatever run directories there are. Throws resources where another one
// does, or has moved it away since it was opened.
void lock(const OutputFile& file);
void remove_own(const Path& path);  // unless somebody writes it

// Which file it is, whatever it holds: its number, which a later file may get again, and when it was made, where the
// file system says that.
std::string file_identity(const Path& path);

bool is_count(const Json& line, const std::string& key);  // a number that a ledger counts something with

// What the ledger says of a file: the end of each block's bytes and their hash.
using Pieces = std::vector<std::pair<std::int64_t, std::string>>;

size_t count_whole(const Pieces& pieces, const Path& file);  // how many pieces, from the first on, are in the file
// A part file, which may have a torn end, is known by its first bytes; one in which nothing was completed by being the
// file that was begun.
bool is_own_part(const Pieces& pieces, const Path& file, const std::string& begun);
bool is_whole(const Pieces& pieces, const Path& file);
bool is_whole_packed(const Pieces& pieces, const Path& file);  // the same of what the file unpacks to
std::string sha256_unpacked(const Path& file);

// The part's bytes, packed for the name `output`, in a temporary beside that. Nothing where a stop was requested.
std::optional<OutputFile> pack_beside(const Path& part, const Path& output);
// After a kill behind the publishing of a packed output: the part file is there again, the output is not.
void unpack_again(const Path& output, const Path& part);

}  // namespace steerlm
