#include <cerrno>

#include "data/block_job_runs.h"

namespace steerlm {
namespace {

using ::testing::HasSubstr;
using namespace steerlm::testing;

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

TEST_F(BlockJobTest, AnInputThatEndsWithinWhatIsDoneIsAnotherOne) {
  start(2);
  const BlockOutput out = open();
  out.check_skipped(0);
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { out.check_skipped(4); }),
              HasSubstr("it is another one (found 2 records, expected the 6 that are done"));
}

TEST_F(BlockJobTest, AnotherStandardInputIsRefused) {
  {
    BlockOutput out = open();
    out.append(3, lines(0), "", Json::object(), 17);
    out.append(3, lines(1), "", Json::object(), 18);
  }
  const BlockOutput out = open();
  out.check_input(18);
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { out.check_input(17); }),
              HasSubstr("standard input gives something else than before (found other lines among those of the 6"));
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
  const size_t whole = read_all(ledger()).size();
  for (size_t keep = read_all(ledger()).find("{\"block\""); keep <= whole; ++keep) {
    std::filesystem::remove_all(folder_.path() / "out");
    std::filesystem::remove(ledger());
    start(2);
    // Which files the parts are takes more or fewer digits each time.
    const std::string bytes = read_all(ledger());
    std::ofstream(ledger()) << bytes.substr(0, std::max(keep, bytes.find("{\"block\"")));
    std::ofstream(part(), std::ios::app) << "half a li";
    std::ofstream(quarantine().string() + ".part", std::ios::app) << "bad t";
    run(3);
    expect_whole(3);
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

TEST_F(BlockJobTest, ForeignFilesAreNeverOverwritten) {
  make_directory(output().parent_path());
  for (const Path& foreign : {output(), part(), quarantine(), Path(quarantine().string() + ".part")}) {
    for (const bool fresh : {false, true}) {
      std::ofstream(foreign) << "precious\n";
      EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3, fresh); }),
                  HasSubstr(foreign.string() + ": a file that this run did not write is in the way"));
      EXPECT_EQ(read_all(foreign), "precious\n");
      EXPECT_FALSE(std::filesystem::exists(ledger()));
      std::filesystem::remove_all(foreign);
    }
  }
}

TEST_F(BlockJobTest, OverwriteReplacesTheOutputWhenTheNewOneIsWhole) {
  make_directory(output().parent_path());
  std::ofstream(output()) << "old\n";
  std::ofstream(quarantine()) << "old\n";
  {
    BlockOutput out = open(false, "run", true);
    out.append(3, lines(0), bad_lines(0), Json::object());
    EXPECT_EQ(read_all(output()), "old\n");
  }
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3); }), HasSubstr("have the file replaced: --overwrite"));
  run(3, false, true);
  expect_whole(3);
}

// Of another output; where the new one has no bad records, an empty list says so.
TEST_F(BlockJobTest, OverwriteLeavesNoOldListOfBadRecords) {
  make_directory(output().parent_path());
  std::ofstream(quarantine()) << "old\n";
  run(1, false, true);
  EXPECT_EQ(read_all(quarantine()), "");
}

TEST_F(BlockJobTest, OverwriteNeverTakesAPartFile) {
  make_directory(output().parent_path());
  std::ofstream(part()) << "precious\n";
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3, true, true); }), HasSubstr("another run writes it"));
  EXPECT_EQ(read_all(part()), "precious\n");
}

TEST_F(BlockJobTest, ForeignOutputInTheMiddleOfARun) {
  start(1);
  std::ofstream(output()) << "precious\n";
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3); }), HasSubstr("a file that this run did not write"));
  std::filesystem::remove_all(part());
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3); }), HasSubstr("a file that this run did not write"));
  EXPECT_EQ(read_all(output()), "precious\n");
}

TEST_F(BlockJobTest, AFileThatAppearsBeforeTheEndStays) {
  {
    BlockOutput out = open();
    out.append(3, lines(0), "", Json::object());
    std::ofstream(output()) << "precious\n";
    EXPECT_THAT(message_of(ExitCode::resources, [&] { out.finish(); }), HasSubstr("is not replaced"));
  }
  EXPECT_EQ(read_all(output()), "precious\n");
  std::filesystem::remove(output());
  EXPECT_EQ(open().completed_blocks(), 1) << "and nothing is lost";
}

TEST_F(BlockJobTest, ChangedOutputIsNotTakenForFinished) {
  run(3);
  std::string bytes = read_all(output());
  bytes[3] = '#';  // of the same length
  std::ofstream(output()) << bytes;
  EXPECT_THAT(message_of(ExitCode::resources, [&] { open(); }),
              HasSubstr("the output was changed after it was finished"));
  EXPECT_THAT(message_of(ExitCode::resources, [&] { run(3, true); }),
              HasSubstr("a file that this run did not write is in the way; choose another output, or have the file "
                        "replaced: --overwrite"));
  EXPECT_EQ(read_all(output()), bytes);
  run(3, false, true);
  expect_whole(3);
}

TEST_F(BlockJobTest, AReadListOfBadRecordsMayBeRemoved) {
  run(3);
  std::filesystem::remove(quarantine());
  EXPECT_TRUE(open().finished());
}

// Of a shard the merge reads it: from the first block on that has bad records all are made again.
TEST_F(BlockJobTest, ALostListOfBadRecordsIsMadeAgainWhereItIsNeeded) {
  const BlockOutputOptions options{.needs_quarantine = true};
  const auto needing = [&] { return BlockOutput(output(), ledger(), Json{{"name", "run"}}, options); };
  run(3);
  EXPECT_TRUE(needing().finished());
  EXPECT_TRUE(BlockOutput::is_quarantine_at(output().string(), ledger()));
  std::filesystem::remove(quarantine());
  EXPECT_FALSE(BlockOutput::is_quarantine_at(output().string(), ledger()));
  EXPECT_TRUE(open().finished());
  {
    BlockOutput out = needing();
    EXPECT_FALSE(out.finished());
    ASSERT_EQ(out.completed_blocks(), 1);
    for (std::int64_t b = 1; b < 3; ++b) out.append(3, lines(b), bad_lines(b), Json{{"number", b}});
    out.finish();
  }
  expect_whole(3);
  EXPECT_TRUE(needing().finished());
}

// contracts.md section 8.
TEST_F(BlockJobTest, AnotherRun) {
  start(1);
  EXPECT_THAT(
      message_of(ExitCode::recipe, [&] { open(false, "other"); }),
      HasSubstr(
          R"(another run has begun this output (found {"name":"run"}, expected {"name":"other"}); choose another run_dir, or start over with --fresh)"));
  EXPECT_EQ(open(true, "other").completed_blocks(), 0);
}

TEST_F(BlockJobTest, FreshStartsOver) {
  run(3);
  {
    BlockOutput out = open(true);
    EXPECT_FALSE(out.finished());
    EXPECT_EQ(out.completed_blocks(), 0);
    EXPECT_TRUE(std::filesystem::exists(output())) << "nothing is touched before there is something new";
    out.append(3, lines(0), "", Json::object());
    EXPECT_FALSE(std::filesystem::exists(output()));
    EXPECT_FALSE(std::filesystem::exists(quarantine()));
  }
  run(2);
  expect_whole(2);
  start(0);
  run(3, true);
  expect_whole(3);
}

// What an unfinished run has left is its own too, at every place of a kill.
TEST_F(BlockJobTest, FreshAfterAFailureAnywhere) {
  for (int failing = 0;; ++failing) {
    int operations = 0;
    std::filesystem::remove_all(folder_.path() / "out");
    std::filesystem::remove_all(ledger());
    set_fs_fault([&](std::string_view, const Path&) { return operations++ == failing ? ENOSPC : 0; });
    message_of(ExitCode::resources, [&] { run(3); });
    set_fs_fault({});
    if (operations <= failing) break;
    run(3, true);
    expect_whole(3);
  }
}

// An output that has moved: the old place is cleared of what the ledger can prove, the new one is not touched.
TEST_F(BlockJobTest, FreshAtAnotherPlace) {
  run(3);
  const Path other = folder_.path() / "other.jsonl";
  const auto again = [&] {
    BlockOutput out(other, ledger(), Json{{"name", "run"}}, {.fresh = true});
    out.append(3, lines(0), "", Json::object());
    out.finish();
  };
  std::ofstream(other) << "precious\n";
  EXPECT_THAT(message_of(ExitCode::resources, again), HasSubstr("other.jsonl: a file that this run did not write"));
  EXPECT_EQ(read_all(other), "precious\n");
  std::filesystem::remove(other);
  std::filesystem::create_directories(other / "precious");
  EXPECT_THAT(message_of(ExitCode::resources, again), HasSubstr("a folder where a file is expected"));
  EXPECT_TRUE(std::filesystem::exists(other / "precious"));
  expect_whole(3);
  std::filesystem::remove_all(other);

  std::ofstream(quarantine(), std::ios::app) << "a note of mine\n";
  again();
  EXPECT_EQ(read_all(other), lines(0));
  EXPECT_FALSE(std::filesystem::exists(output()));
  EXPECT_EQ(read_all(quarantine()), "bad one\na note of mine\n") << "changed since: not ours any more";

  std::filesystem::remove(quarantine());
  EXPECT_THAT(message_of(ExitCode::recipe, [&] { open(); }), HasSubstr("another run has begun this output"));
}

TEST_F(BlockJobTest, FreshWithTheOldOutputAsInput) {
  run(3);
  BlockOutput out(folder_.path() / "other.jsonl", ledger(), Json{{"name", "run"}},
                  {.fresh = true, .inputs = {output().string()}});
  out.append(3, lines(0), "", Json::object());
  out.finish();
  EXPECT_EQ(read_all(output()), lines(0) + lines(1) + lines(2));
}

TEST_F(BlockJobTest, LinksAreFollowed) {
  make_directory(output().parent_path());
  const Path real = folder_.path() / "real.jsonl";
  std::filesystem::create_symlink(real, output());
  start(1);
  run(3);
  EXPECT_TRUE(std::filesystem::is_symlink(output()));
  EXPECT_EQ(read_all(real), lines(0) + lines(1) + lines(2));
  EXPECT_EQ(read_all(quarantine()), "bad one\n");
  run(2, true);
  EXPECT_EQ(read_all(real), lines(0) + lines(1));
  EXPECT_TRUE(std::filesystem::is_symlink(output()));
}

TEST_F(BlockJobTest, InputsAreNoOutputs) {
  std::ofstream(folder_.path() / "in") << "precious\n";
  const auto begin = [&] {
    BlockOutput(folder_.path() / "in", ledger(), Json::object(),
                {.fresh = true, .overwrite = true, .inputs = {folder_.path() / "in"}});
  };
  EXPECT_THAT(message_of(ExitCode::recipe, begin), HasSubstr("the output is an input"));
}

// Written straight through, a run begins anew; its bad records are beside the ledger.
TEST_F(BlockJobTest, ThroughADevice) {
  const auto once = [&](std::int64_t blocks, bool finish) {
    BlockOutput out("/dev/null", ledger(), Json{{"name", "run"}}, {});
    EXPECT_FALSE(out.finished());
    EXPECT_EQ(out.completed_blocks(), 0);
    for (std::int64_t b = 0; b < blocks; ++b) out.append(3, lines(b), bad_lines(b), Json::object());
    if (finish) out.finish();
  };
  for (const bool finished : {false, true, false, true}) {
    once(3, finished);
    EXPECT_TRUE(std::filesystem::is_character_file("/dev/null"));
    if (finished) {
      EXPECT_EQ(read_all(folder_.path() / "quarantine.jsonl"), "bad one\n");
    }
  }
  once(1, true);
  EXPECT_FALSE(std::filesystem::exists(folder_.path() / "quarantine.jsonl"));
}

}  // namespace
}  // namespace steerlm
