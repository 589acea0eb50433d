// Checkpoints, contracts.md section 4, in the folder of a run:
//   checkpoints/step-N/   tensors.safetensors, state.json,
//                         manifest.json = {"files": {"NAME": {"size": N, "sha256": HEX}}}
//   checkpoints/LATEST    "step-N"
// A checkpoint is written elsewhere in the run directory, every file fsynced, the manifest last, and renamed; then
// LATEST is replaced by rename. Only folders that the run has entered as its own are read or removed.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/core/run_files.h"
#include "steerlm/store/safetensors.h"

namespace steerlm {

struct Snapshot {
  std::int64_t step = 0;
  Path folder;
  Json state;
};

// Throws resources; then LATEST and what it names are as they were. A checkpoint of the same step is replaced.
void publish_snapshot(RunFiles& files, std::int64_t step, const NamedTensors& tensors, const Json& state);

// The checkpoint that LATEST names, else the newest one before it; every file is held against the manifest, and `check`
// throws where it can do nothing with the state. What is passed over goes to `warn`, a sentence each. Nothing where
// there is no whole checkpoint.
std::optional<Snapshot> find_snapshot(
    const RunFiles& files, const std::function<void(const std::string&)>& warn,
    const std::function<void(const Snapshot&)>& check = [](const Snapshot&) {});

// Throws resources where something that no run has written is in the way of the checkpoints to come: of all, with
// `fresh`, else of those after the one that the run goes on from; up to step `last`, if that is known.
void refuse_foreign_checkpoints(const RunFiles& files, bool fresh, std::optional<std::int64_t> last);

// In the order of writing. Throws model.
NamedTensors read_snapshot_tensors(const Snapshot& snapshot);

// Keeps the one that LATEST names, the newest before it, `keep` in all, and `also_keep`; removes the others.
void prune_snapshots(RunFiles& files, std::int64_t keep, std::optional<std::int64_t> also_keep);

}  // namespace steerlm
