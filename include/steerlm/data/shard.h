// Shards: parts of one job that are run apart, on several machines say, and put together again.
//
// The input is cut into blocks of consecutive records; shard i of n has the blocks i, i + n, i + 2n, … and writes them
// into an output of its own, with OUTPUT.shard.json beside it, which says what is where:
//   {"job": …, "shard": "i/n", "block_records": b, "input_records": N, "input": h, "sha256": […],
//    "blocks": [[r, l, p, q], …]}
// `job` is what all shards have in common (command, settings, inputs by their hashes); so is `input`, the
// Record::input_hash of the input's last record, which is there where that is standard input; `sha256` the hashes of
// the output's and the quarantine's bytes (unpacked), a block its records, its lines and bytes in the output, and its
// bytes in the quarantine.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/output.h"
#include "steerlm/data/block_job.h"

namespace steerlm {

// The input of a job, all shards'.
struct ShardInput {
  std::int64_t block_records = 0, records = 0;
  std::uint64_t hash = 0;  // the Record::input_hash of the last record
};

struct Shard {
  std::int64_t index = 0, count = 1;

  bool is_part() const { return count > 1; }
  bool has(std::int64_t block) const { return block % count == index; }
};

// "i/n" with 0 <= i < n, as a recipe or an option says it. Throws recipe at `where`.
Shard parse_shard(const std::string& text, const std::string& where);
std::string shard_text(const Shard& shard);  // "i/n"

Path shard_file(const std::string& output);  // OUTPUT.shard.json

// Throws resources where such a file is there that is not this job's, unless `overwrite`; and as check_output where
// what is there is not to be replaced, or is no file.
void check_shard_file(const std::string& output, const Json& job, bool overwrite);

// Whether the output is there, and that file beside it says what it should.
bool has_shard_file(const std::string& output);

// Of an output whose blocks are all there, before its finish() or, where the file was lost, after it.
void write_shard_file(const std::string& output, BlockOutput& blocks, const Json& job, const Shard& shard,
                      const ShardInput& input);

struct Merged {
  std::int64_t shards = 0, records = 0, lines = 0, quarantined = 0;  // quarantined: lines
};

// Puts the outputs `shards` together in the order of the input, into `to`; lists of bad records likewise. The bytes are
// those of a run without shards. `command` made them: a job's "command". Throws data: a shard that is missing,
// unfinished, there twice, of another job or command, one that was changed, records that are missing; and as Output for
// `to`. Nothing where a stop was requested: nothing is written.
std::optional<Merged> merge_shards(const std::string& to, const std::vector<std::string>& shards,
                                   const std::string& command, bool overwrite);

}  // namespace steerlm
