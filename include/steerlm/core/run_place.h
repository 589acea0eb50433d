// Whose a file is that a run directory says it wrote elsewhere. Files are named by their absolute places, so that
// another current directory makes nothing somebody else's; and with the folder that says so, so that a copy of a run
// directory owns nothing of what the original wrote. And which paths count as seen from a run directory that lies in
// others: what the runs in these make of each other moves along with them.
#pragma once

#include <string>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"

namespace steerlm {

// {"place", "device", "inode"} of a folder.
Json folder_identity(const Path& folder);
// Whether that is the folder: it is at the same place (put back there, perhaps), or the same one that was moved.
bool is_identity_of(const Json& identity, const Path& folder);

// The absolute place of a file: links on the way to it are followed, the file itself may be one.
Path absolute_place(const Path& file);

// Where the file is now that the folder of `identity`, which is `folder`, has recorded at `place`: the two may have
// been moved together, or be mounted elsewhere, and a link may lead there from where they were.
Path place_now(const Path& place, const Json& identity, const Path& folder);

// How many run directories lie around that one, each in the next: that of the pipeline whose step it is, say, and that
// of the seeds whose pipeline that is.
int runs_around(const Path& run_dir);
// Where a file of a ledger in `folder` is that was at `place` when that folder was the one of the identity `by`: the
// same way from there. Empty where this is neither in that folder nor in one of the run directories around it, or it is
// no run directory.
Path place_in_run(const Path& place, const Json& by, const Path& folder);
// The identity of a run in `run_dir` that lies in others: the paths in the outermost of these begin with "@/" and lead
// on from `run_dir`. What has moved together keeps them, however deep it lies.
Json without_place(const Json& identity, const Path& run_dir);

// A place as JSON names it, which is UTF-8, and back.
std::string place_text(const Path& place);
Path parse_place(const std::string& text);

}  // namespace steerlm
