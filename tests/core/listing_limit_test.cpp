// A folder that cannot be listed because a limit of the system is reached is none that is wrong: contracts.md
// section 1.
#include <gtest/gtest.h>

#include "steerlm/core/paths.h"
#include "support/message_of.h"
#include "support/no_more_open_files.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

TEST(ListingLimitTest, TooManyOpenFilesIsNoFaultOfTheFolder) {
  const TemporaryFolder folder;
  EXPECT_TRUE(files_of(folder.path(), ExitCode::model).empty());
  std::string said;
  {
    const NoMoreOpenFiles limit;
    said = message_of(ExitCode::resources, [&] { files_of(folder.path(), ExitCode::model); });
  }
  EXPECT_NE(said.find("Too many open files; raise the limit of open files: ulimit -n 1024"), std::string::npos) << said;
}

}  // namespace
}  // namespace steerlm
