// A run that is whole is not written to any more: nothing temporary may be in it, wherever a kill falls.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>

#include "steerlm/core/run_files.h"
#include "support/killed_process.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

std::set<std::string> names_in(const Path& folder) {
  std::set<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) names.insert(entry.path().filename());
  return names;
}

void run_to_the_end(const Path& root) {
  RunFiles files = RunFiles::open(root, {});
  files.write("metrics.jsonl", "first");
  files.write("metrics.jsonl", "second");
  files.remove("metrics.jsonl");  // the manifest has something to leave out
  files.write_last("done.json", "{}");
}

TEST(FinishedRun, HasNothingTemporaryWhereverAKillFalls) {
  bool ended = false;
  int kills_before_the_end = 0;
  for (int last = 0; !ended; ++last) {
    const TemporaryFolder folder;
    const Path root = folder.path() / "run";
    ended = is_done_before_kill(last, [&] { run_to_the_end(root); });
    if (!std::filesystem::exists(root / "done.json")) {
      ++kills_before_the_end;
      run_to_the_end(root);
    }
    EXPECT_EQ(names_in(root), (std::set<std::string>{".steerlm-run", "done.json"})) << last;
    EXPECT_EQ(names_in(root / ".steerlm-run"), (std::set<std::string>{"files.jsonl", "lock", "run.json"})) << last;
    EXPECT_TRUE(RunFiles::read(root).owns("done.json")) << last;
    EXPECT_TRUE(RunFiles::read(root).differences("").empty()) << last;
  }
  EXPECT_GE(kills_before_the_end, 20);
}

// What replaces a file of a run that others open, by its path.
TEST(FinishedRun, AKillLeavesNoTemporaryInTheRunDirectoryItself) {
  bool ended = false;
  for (int last = 0; !ended; ++last) {
    const TemporaryFolder folder;
    const Path root = folder.path() / "run";
    const Path file = RunFiles::open(root, {}).grow("metrics.jsonl");
    ended = is_done_before_kill(last, [&] { write_in_run(file, "lines"); });
    EXPECT_THAT(names_in(root), testing::IsSubsetOf({".steerlm-run", "metrics.jsonl"})) << last;
    check_run_removal(root);  // throws where something foreign is there
    RunFiles::open(root, {});
    EXPECT_EQ(names_in(root / ".steerlm-run"), (std::set<std::string>{"files.jsonl", "lock", "run.json"})) << last;
  }
}

// Elsewhere there is no such folder.
TEST(FinishedRun, AFileThatIsInNoRunIsWrittenInItsPlace) {
  const TemporaryFolder folder;
  write_in_run(folder.path() / "ledger", "lines");
  EXPECT_EQ(read_file(folder.path() / "ledger", ExitCode::resources, "ledger"), "lines");
  EXPECT_EQ(names_in(folder.path()), (std::set<std::string>{"ledger"}));
}

}  // namespace
}  // namespace steerlm
