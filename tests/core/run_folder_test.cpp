// What a folder is that a run would write into.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "steerlm/core/run_files.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST(RunFolder, IsFreeARunOrRefused) {
  const TemporaryFolder folder;
  const Path run = folder.path() / "run";
  EXPECT_FALSE(RunFiles::holds_run(run));
  std::filesystem::create_directory(run);
  EXPECT_FALSE(RunFiles::holds_run(run)) << "an empty one";
  { RunFiles::open(run, {{"stage", "sft"}}); }
  EXPECT_TRUE(RunFiles::holds_run(run));
  std::filesystem::create_directory(folder.path() / "mine");
  std::ofstream(folder.path() / "mine" / "notes.txt") << "precious";
  EXPECT_THAT(message_of(ExitCode::resources, [&] { RunFiles::holds_run(folder.path() / "mine"); }),
              AllOf(HasSubstr("no run has made it"), HasSubstr("found notes.txt")));
}

TEST(RunFolder, OfAnotherStageIsRefusedWithBothStages) {
  const TemporaryFolder folder;
  const Path run = folder.path() / "run";
  EXPECT_FALSE(RunFiles::holds_run_of(run, "pipeline", "run_dir")) << "what is free is no other stage's";
  { RunFiles::open(run, {{"stage", "experiment"}}); }
  EXPECT_TRUE(RunFiles::holds_run_of(run, "experiment", "--out"));
  EXPECT_EQ(message_of(ExitCode::recipe, [&] { RunFiles::holds_run_of(run, "pipeline", "run_dir"); }),
            run.string() +
                ": the folder holds a run of another stage (found experiment, expected pipeline); choose another "
                "run_dir");
}

}  // namespace
}  // namespace steerlm
