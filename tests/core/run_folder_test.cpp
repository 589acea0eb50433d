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

// Moved with its output, and a link where both were: the output's place is the one in the folder as it lies now. A link
// to what is somebody else's makes nothing the run's own.
TEST(RunFolder, ThatIsLinkedToFromItsOldPlaceOwnsWhatCameAlong) {
  const TemporaryFolder folder;
  const Path project = folder.path() / "project", disk = folder.path() / "disk",
             output = project / "data" / "out.jsonl";
  std::filesystem::create_directories(output.parent_path());
  std::ofstream(output) << "lines";
  { RunFiles::open(project / "run", {}).enter_output(output, true); }
  std::filesystem::rename(project, disk);
  std::filesystem::create_directory_symlink(disk, project);
  EXPECT_TRUE(RunFiles::read(project / "run").owns_output(output));
  EXPECT_TRUE(RunFiles::read(project / "run").output_differences().empty());

  std::filesystem::rename(disk / "data", folder.path() / "others");
  std::filesystem::create_directory_symlink(folder.path() / "others", disk / "data");
  EXPECT_FALSE(RunFiles::read(project / "run").owns_output(output));
}

}  // namespace
}  // namespace steerlm
