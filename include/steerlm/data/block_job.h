// An output that is written in blocks and survives a kill at any point: annotation and sampling work in blocks of consecutive input
// records, and a block is written, fsynced and entered in a ledger as one.
//
//   OUTPUT.part              lines of the finished blocks, renamed to OUTPUT by finish()
//   OUTPUT.quarantine.jsonl  bad records; .part likewise; no file where there were none
//   LEDGER                   JSON lines: first {"identity": …}, then one a block
//                            {"block", "records", "output_end", "quarantine_end", "sha256", "counts"}
//
// The ledger line goes to disk after the bytes that it speaks of. On opening, a torn ledger line is dropped, ledger lines whose bytes
// are missing or changed are dropped, and what the files hold beyond the last good one is cut off: no record is written twice.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"

namespace steerlm {

class BlockOutput {
 public:
  // `identity` says which run this is (recipe, inputs); the ledger of another identity is refused (recipe) unless `fresh`, which starts
  // over. An output without a ledger is never overwritten (resources) unless `fresh`. Neither is an output that was changed since.
  BlockOutput(Path output, Path ledger, Json identity, bool fresh);

  bool finished() const { return finished_; }                 // OUTPUT is whole; append() is a bug now
  std::int64_t completed_blocks() const { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t records_done() const;                          // input records of the completed blocks, good and bad
  std::vector<Json> block_counts() const;                     // what append() was given, a block each

  // Block number completed_blocks(): the lines of `records` input records, each with its line end; `counts` is kept for the caller.
  void append(std::int64_t records, std::string_view output_lines, std::string_view quarantine_lines, Json counts);
  // Gives the files their final names.
  void finish();

  static Path quarantine_path(const Path& output);

 private:
  struct Block {
    std::int64_t records, output_end, quarantine_end;
    Json counts;
  };
  bool load_ledger();
  void open_files();
  void start_over();

  Path output_, ledger_path_;
  Json identity_;
  bool finished_ = false;
  std::vector<Block> blocks_;
  std::int64_t ledger_end_ = 0;
  std::optional<OutputFile> output_file_, quarantine_file_, ledger_file_;
};

}  // namespace steerlm
