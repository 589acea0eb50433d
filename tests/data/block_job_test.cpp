#include "steerlm/data/block_job.h"

#include <gmock/gmock.h>

#include <cerrno>

#include "data/helpers.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using namespace steerlm::testing;

class BlockJobTest : public ::testing::Test {
 protected:
  ~BlockJobTest() override { set_fs_fault({}); }

  Path output() const { return folder_.path() / "out" / "o.jsonl"; }
  Path part() const { return output().string() + ".part"; }
  Path quarantine() const { return output().string() + ".quarantine.jsonl"; }
  Path ledger() const { return folder_.path() / "ledger.jsonl"; }

  BlockOutput open(bool fresh = false, const std::string& name = "run") {
    return BlockOutput(output(), ledger(), Json{{"name", name}}, fresh);
  }
  static std::string lines(std::int64_t block) { return "line of block " + std::to_string(block) + "\nand another\n"; }
  static std::string bad_lines(std::int64_t block) { return block == 1 ? "bad one\n" : ""; }

  // What a stage does: goes on from the block after the last whole one.
  void run(std::int64_t blocks, bool fresh = false) {
    BlockOutput out = open(fresh);
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

TEST_F(BlockJobTest, InOneGo) {
  run(4);
  expect_whole(4);
  BlockOutput again = open();
  EXPECT_TRUE(again.finished());
  EXPECT_EQ(again.completed_blocks(), 4);
  EXPECT_EQ(again.records_done(), 12);
  EXPECT_EQ(dump_json(again.block_counts()[2]), R"({"number":2})");
  expect_whole(4);
}

TEST_F(BlockJobTest, NothingToDoGivesAnEmptyOutput) {
  run(0);
  EXPECT_TRUE(std::filesystem::exists(output()));
  EXPECT_EQ(read_all(output()), "");
  EXPECT_FALSE(std::filesystem::exists(quarantine()));
  EXPECT_TRUE(open().finished());
}

TEST_F(BlockJobTest, ResumesAfterABlock) {
  start(2);
  EXPECT_FALSE(std::filesystem::exists(output()));
  {
    BlockOutput out = open();
    EXPECT_FALSE(out.finished());
    EXPECT_EQ(out.completed_blocks(), 2);
    EXPECT_EQ(out.records_done(), 6);
  }
  run(4);
  expect_whole(4);
}

// Every write, fsync, rename and open fails once; then once more at every place of the run that follows.
TEST_F(BlockJobTest, EveryFailureIsResumed) {
  for (int failing = 0;; ++failing) {
    int operations = 0;
    std::filesystem::remove_all(folder_.path() / "out");
    std::filesystem::remove_all(ledger());
    set_fs_fault([&](std::string_view, const Path&) { return operations++ == failing ? ENOSPC : 0; });
    const std::string message = message_of(ExitCode::resources, [&] { run(3); });
    set_fs_fault({});
    if (operations <= failing) {
      EXPECT_EQ(message, "");
      EXPECT_GT(failing, 15);
      break;
    }
    EXPECT_THAT(message, HasSubstr("No space left on device"));
    run(3);
    expect_whole(3);
  }
}

TEST_F(BlockJobTest, TwoFailuresAreResumed) {
  for (int first = 1; first < 30; first += 4) {
    for (int second = 0; second < 12; second += 2) {
      std::filesystem::remove_all(folder_.path() / "out");
      std::filesystem::remove_all(ledger());
      for (const int failing : {first, second}) {
        int operations = 0;
        set_fs_fault([&](std::string_view, const Path&) { return operations++ == failing ? EIO : 0; });
        message_of(ExitCode::resources, [&] { run(3); });
        set_fs_fault({});
      }
      run(3);
      expect_whole(3);
    }
  }
}

// A kill leaves any prefix of what was written last in each file.
TEST_F(BlockJobTest, TornTails) {
  start(2);
  const std::string part_bytes = read_all(part()), ledger_bytes = read_all(ledger());
  for (size_t keep = ledger_bytes.find('\n') + 1; keep <= ledger_bytes.size(); ++keep) {
    std::ofstream(ledger()) << ledger_bytes.substr(0, keep);
    std::ofstream(part()) << part_bytes << "half a li";
    run(3);
    expect_whole(3);
    std::filesystem::remove_all(output());
    std::filesystem::remove_all(quarantine());
    std::ofstream(quarantine().string() + ".part") << "bad one\nbad t";
  }
}

TEST_F(BlockJobTest, MissingOrChangedBytesAreWrittenAgain) {
  start(3);
  std::string bytes = read_all(part());
  bytes[lines(0).size() + 2] = '#';
  std::ofstream(part()) << bytes;
  EXPECT_EQ(open().completed_blocks(), 1);
  run(3);
  expect_whole(3);
}

TEST_F(BlockJobTest, LostPartStartsOver) {
  start(3);
  std::filesystem::remove_all(part());
  EXPECT_EQ(open().completed_blocks(), 0);
  run(3);
  expect_whole(3);
}

TEST_F(BlockJobTest, TakenAwayOutputIsMadeAgain) {
  run(3);
  std::filesystem::remove_all(output());
  std::filesystem::remove_all(quarantine());
  run(3);
  expect_whole(3);
}

TEST_F(BlockJobTest, ForeignOutputIsNeverOverwritten) {
  make_directory(output().parent_path());
  for (const Path& foreign : {output(), part(), quarantine()}) {
    std::ofstream(foreign) << "precious\n";
    EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3); }),
                HasSubstr("an output that no run of this directory wrote is in the way"));
    EXPECT_EQ(read_all(foreign), "precious\n");
    EXPECT_FALSE(std::filesystem::exists(ledger()));
    std::filesystem::remove_all(foreign);
  }
  std::ofstream(output()) << "old\n";
  run(3, true);
  expect_whole(3);
}

TEST_F(BlockJobTest, ForeignOutputInTheMiddleOfARun) {
  start(1);
  std::ofstream(output()) << "precious\n";
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3); }),
              HasSubstr("an output that this run did not write is in the way"));
  std::filesystem::remove_all(part());
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3); }),
              HasSubstr("an output that this run did not write is in the way"));
  EXPECT_EQ(read_all(output()), "precious\n");
}

TEST_F(BlockJobTest, ChangedOutputIsNotTakenForFinished) {
  run(3);
  std::ofstream(output(), std::ios::app) << "more\n";
  EXPECT_THAT(message_of(ExitCode::resources, [&] { open(); }),
              HasSubstr("the output was changed after it was finished"));
  run(3, true);
  expect_whole(3);
}

// contracts.md section 8.
TEST_F(BlockJobTest, AnotherRun) {
  start(1);
  EXPECT_THAT(
      message_of(ExitCode::recipe, [&] { open(false, "other"); }),
      HasSubstr(
          R"(another run has begun this output (found {"name":"run"}, expected {"name":"other"}); choose another output, or start over with --fresh)"));
  EXPECT_EQ(open(true, "other").completed_blocks(), 0);
}

TEST_F(BlockJobTest, FreshStartsOver) {
  run(3);
  {
    BlockOutput out = open(true);
    EXPECT_FALSE(out.finished());
    EXPECT_EQ(out.completed_blocks(), 0);
    EXPECT_FALSE(std::filesystem::exists(output()));
  }
  run(2);
  expect_whole(2);
}

}  // namespace
}  // namespace steerlm
