// A run of blocks with its output, ledger and list of bad records in a folder of its own.
#pragma once

#include <gmock/gmock.h>

#include "data/helpers.h"
#include "steerlm/data/block_job.h"

namespace steerlm::testing {

class BlockJobTest : public ::testing::Test {
 protected:
  ~BlockJobTest() override { set_fs_fault({}); }

  Path output() const { return folder_.path() / "out" / "o.jsonl"; }
  Path part() const { return output().string() + ".part"; }
  Path quarantine() const { return output().string() + ".quarantine.jsonl"; }
  Path ledger() const { return folder_.path() / "ledger.jsonl"; }

  BlockOutput open(bool fresh = false, const std::string& name = "run", bool overwrite = false) {
    const BlockOutputOptions options{.fresh = fresh, .overwrite = overwrite};
    BlockOutput::check(output(), ledger(), options);  // as a stage does at its start: it may not refuse more
    return BlockOutput(output(), ledger(), Json{{"name", name}}, options);
  }
  static std::string lines(std::int64_t block) { return "line of block " + std::to_string(block) + "\nand another\n"; }
  static std::string bad_lines(std::int64_t block) { return block == 1 ? "bad one\n" : ""; }

  // What a stage does: goes on from the block after the last whole one.
  void run(std::int64_t blocks, bool fresh = false, bool overwrite = false) {
    BlockOutput out = open(fresh, "run", overwrite);
    if (out.finished()) return;
    for (std::int64_t b = out.completed_blocks(); b < blocks; ++b)
      out.append(3, lines(b), bad_lines(b), Json{{"number", b}});
    out.finish();
  }
  void expect_whole(std::int64_t blocks) {
    std::string expected;
    for (std::int64_t b = 0; b < blocks; ++b) expected += lines(b);
    EXPECT_EQ(read_all(output()), expected);
    EXPECT_EQ(read_all(quarantine()), "bad one\n");
    EXPECT_FALSE(std::filesystem::exists(part()));
    EXPECT_FALSE(std::filesystem::exists(quarantine().string() + ".part"));
  }
  void start(std::int64_t blocks) {
    BlockOutput out = open();
    for (std::int64_t b = 0; b < blocks; ++b) out.append(3, lines(b), bad_lines(b), Json{{"number", b}});
  }

  TemporaryFolder folder_;
};

}  // namespace steerlm::testing
