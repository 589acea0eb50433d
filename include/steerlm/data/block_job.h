// An output that is written in blocks and survives a kill at any point: annotation and sampling work in blocks of
// consecutive input records, and a block is written, fsynced and entered in a ledger as one.
//
//   OUTPUT.part                    lines of the finished blocks, renamed to OUTPUT by finish()
//   OUTPUT.quarantine.jsonl.part   bad records, likewise; no file is left where there were none
//   LEDGER                         JSON lines: {"identity": …, "files": […], "by": …}, the files' final places and the
//                                  ledger's folder (core/run_place); {"parts": […]}, which files the two part files
//                                  are; one a block {"block", "records", "lines", "output_end", "quarantine_end",
//                                  "sha256": […], "counts", "input"}; at last {"finished": true, "sha256": […]};
//                                  hashes of OUTPUT's part and the quarantine's; "input" where standard input was
//                                  read: the Record::input_hash of the block's last record
//
// An output whose name ends in .gz or .zst has a part file that is not packed: finish() packs it as one, so that its
// bytes depend on the lines alone.
//
// The ledger line goes to disk after the bytes that it speaks of. On opening, ledger lines that are torn, or whose
// bytes are missing or changed, are dropped with all that follow, and what the files hold beyond the last good one is
// cut off: no record is written twice, and the bytes of OUTPUT do not depend on kills.
//
// A file is this run's own where the ledger names it, its bytes are those that the ledger says (of a part file without
// a whole block: where it is the very file that was begun), and the ledger is no copy of another run directory's; of a
// copy those are its own that lie in the run directories around it, where they were copied with it. No other file is
// written to, replaced or removed; with `overwrite` OUTPUT may be replaced. An output that is written
// straight through (a FIFO, a device, standard output) cannot be gone on with: it is begun anew, and its bad records
// are in quarantine.jsonl beside the ledger. For such an output the ledger may be "": then there is neither, and
// append() takes no bad records.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "steerlm/core/json.h"
#include "steerlm/core/output.h"

namespace steerlm {

// How often a job writes what it has: a stop or a kill costs at most so much work, beside what is being computed.
inline constexpr double seconds_between_appends = 1;

struct BlockOutputOptions {
  bool fresh = false;               // what an earlier run of this ledger has written is removed
  bool overwrite = false;           // a file that is not this run's own is replaced by finish()
  std::vector<std::string> inputs;  // what the run reads: the output is none of it
  bool is_shard = false;            // OUTPUT.shard.json is written beside it (data/shard)
  std::string advice = "choose another run_dir, or start over with --fresh";  // where another run has begun the output
  std::vector<std::string> counts;  // what append() is given: a block of the ledger without these numbers is not whole
  bool needs_quarantine = false;    // a finished run whose list of bad records is lost or changed makes it again
};

// Where a block ends in the output's and the quarantine's bytes, how many input records it had, and how many lines of
// the output they became.
struct BlockEnd {
  std::int64_t records = 0, output = 0, quarantine = 0, lines = 0;
};

class BlockOutput {
 public:
  // `identity` says which run this is (recipe, inputs). Paths in it that lie in a run directory around the ledger's, as
  // the ledger's path spells that, count as seen from the ledger's folder: it may have been moved. "reading" in it says
  // how records are read: blocks of two readings are never mixed, a finished output stays as it is.
  // Looks only: nothing is written or removed before the first append() or finish(). Throws recipe for a ledger of
  // another run, and as find_output; resources for a file in the way that is not this run's own.
  BlockOutput(const std::string& output, Path ledger, const Json& identity, BlockOutputOptions options);

  // Throws resources for a file at the place of a ledger that no BlockOutput has begun: its first line is written
  // whole.
  static void refuse_foreign_ledger(const Path& ledger);
  // The same look at the places, for the start of a command. The files of a finished run are taken for its own without
  // a look into them: who runs it again keeps a changed one aside first.
  static void check(const std::string& output, const Path& ledger, const BlockOutputOptions& options);

  bool finished() const { return ledger_.finished; }  // OUTPUT is whole: nothing is left to do
  std::int64_t completed_blocks() const { return static_cast<std::int64_t>(ledger_.blocks.size()); }
  std::int64_t records_done() const;  // input records of the completed blocks, good and bad: what a restart skips
  // Throws recipe where the input has ended before all of these were skipped: standard input was another one before.
  void check_skipped(std::int64_t left_to_skip) const;
  // `input_hash`: the Record::input_hash of the last record that was skipped. Throws recipe where the block that it
  // ended had another: standard input gives something else than before.
  void check_input(std::uint64_t input_hash) const;
  std::vector<Json> block_counts() const;    // what append() was given, a block each
  std::vector<BlockEnd> block_ends() const;  // a block each
  // Of the bytes of the output, unpacked, and the list of bad records: before finish() of those that are there, of an
  // output that an earlier run has finished of those that it finished with.
  std::pair<std::string, std::string> sha256();

  // Block number completed_blocks(): the lines of `records` input records, each with its line end; `counts` is kept for
  // the caller, the `input_hash` of the last record for check_input(). Throws resources; the object is of no use then,
  // and the next one goes on from the block before.
  void append(std::int64_t records, std::string_view output_lines, std::string_view quarantine_lines, Json counts,
              std::uint64_t input_hash = 0);
  // Gives the files their final names; an output whose name ends in .gz or .zst is packed first. False where a stop was
  // requested while it was: the next opening packs again.
  bool finish();

  const Path& quarantine_path() const { return ledger_.quarantine; }
  // OUTPUT.quarantine.jsonl, where the bad records of an output go that is a file.
  static Path quarantine_beside(const Path& output) { return output.string() + ".quarantine.jsonl"; }

  // Whether the finished output of that ledger, byte for byte, is what `output` leads to now.
  static bool is_finished_at(const std::string& output, const Path& ledger);
  // The same of the list of bad records beside it.
  static bool is_quarantine_at(const std::string& output, const Path& ledger);
  // Where the run of that ledger has begun its output, if that is another place than `output` leads to now.
  static std::optional<Path> other_place(const std::string& output, const Path& ledger);

  // The files of that ledger that are there and are its run's own, the unfinished ones among them.
  static std::vector<Path> own_files(const Path& ledger);

 private:
  struct Block {
    std::int64_t records = 0;
    std::int64_t output_end = 0;
    std::int64_t quarantine_end = 0;
    std::int64_t lines = 0;                        // of the output
    std::string output_sha256, quarantine_sha256;  // of the block's lines
    Json counts;
    std::int64_t ledger_end = 0;   // of its line in the ledger
    std::uint64_t input_hash = 0;  // 0: standard input was not read, or by a version that kept none
  };
  struct Ledger {
    Json identity;
    Path output, quarantine;                   // final places; no output where it is written straight through
    bool own = false;                          // of this very run directory
    std::string output_part, quarantine_part;  // the files that were begun
    std::vector<Block> blocks;
    bool finished = false;
    std::string output_sha256, quarantine_sha256;  // of a finished run
    std::int64_t head_end = 0;                     // of the first line, and of those before the first block
  };
  static std::optional<Ledger> read_ledger(const Path& path);
  static void find_places(Ledger& ledger, const Json& by, const Path& path);
  static bool has_quarantine(const Ledger& ledger, const Path& place);
  static std::vector<Path> own_files(const Ledger& ledger);
  void adopt_ledger();
  void publish_files(std::optional<OutputFile>& packed);
  void end_ledger(const Json& sha256);
  void keep_inputs(std::vector<Path>& own) const;
  void open_files();
  std::int64_t output_end() const { return ledger_.blocks.empty() ? 0 : ledger_.blocks.back().output_end; }
  std::int64_t quarantine_end() const { return ledger_.blocks.empty() ? 0 : ledger_.blocks.back().quarantine_end; }

  OutputPlace place_;
  Path ledger_path_;
  BlockOutputOptions options_;
  Ledger ledger_;                          // of this run: what is whole
  std::vector<Path> own_;                  // what is there of an earlier opening
  std::optional<OutputFile> output_file_;  // these three are open from the first append() on
  std::optional<OutputFile> quarantine_file_;
  std::optional<OutputFile> ledger_file_;
};

}  // namespace steerlm
