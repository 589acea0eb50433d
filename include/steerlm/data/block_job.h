// An output that is written in blocks and survives a kill at any point: annotation and sampling work in blocks of
// consecutive input records, and a block is written, fsynced and entered in a ledger as one.
//
//   OUTPUT.part                    lines of the finished blocks, renamed to OUTPUT by finish()
//   OUTPUT.quarantine.jsonl.part   bad records, likewise; no file is left where there were none
//   LEDGER                         JSON lines: {"identity": …}, then one a block
//                                  {"block", "records", "output_end", "quarantine_end", "sha256", "counts"}, at last
//                                  {"finished": true}
//
// The ledger line goes to disk after the bytes that it speaks of. On opening, ledger lines that are torn, or whose
// bytes are missing or changed, are dropped with all that follow, and what the files hold beyond the last good one is
// cut off: no record is written twice, and the bytes of OUTPUT do not depend on kills.
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
  // `identity` says which run this is (recipe, inputs). Throws recipe for a ledger of another identity; resources for
  // an output that the ledger does not know, or that was changed after it was finished. `fresh` removes what is there
  // and starts over.
  BlockOutput(Path output, Path ledger, Json identity, bool fresh);

  bool finished() const { return finished_; }  // OUTPUT is whole: nothing is left to do
  std::int64_t completed_blocks() const { return static_cast<std::int64_t>(blocks_.size()); }
  std::int64_t records_done() const;       // input records of the completed blocks, good and bad: what a restart skips
  std::vector<Json> block_counts() const;  // what append() was given, a block each

  // Block number completed_blocks(): the lines of `records` input records, each with its line end; `counts` is kept for
  // the caller. Throws resources; the object is of no use then, and the next one goes on from the block before.
  void append(std::int64_t records, std::string_view output_lines, std::string_view quarantine_lines, Json counts);
  // Gives the files their final names.
  void finish();

  static Path quarantine_path(const Path& output);  // OUTPUT.quarantine.jsonl

 private:
  struct Block {
    std::int64_t records = 0;
    std::int64_t output_end = 0;
    std::int64_t quarantine_end = 0;
    std::string sha256;  // of the block's output lines and quarantine lines
    Json counts;
    std::int64_t ledger_end = 0;  // of its line in the ledger
  };
  void load_ledger();
  size_t verified_blocks(const Path& output, const Path& quarantine) const;
  void recover_files();
  void refuse_foreign_files() const;
  void open_files();
  std::int64_t output_end() const { return blocks_.empty() ? 0 : blocks_.back().output_end; }
  std::int64_t quarantine_end() const { return blocks_.empty() ? 0 : blocks_.back().quarantine_end; }

  Path output_;
  Path quarantine_;
  Path ledger_;
  Json identity_;
  bool finished_ = false;
  std::vector<Block> blocks_;
  std::int64_t ledger_head_end_ = 0;
  std::optional<OutputFile> output_file_;
  std::optional<OutputFile> quarantine_file_;
  std::optional<OutputFile> ledger_file_;
};

}  // namespace steerlm
