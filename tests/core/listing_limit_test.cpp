// A folder that cannot be listed because a limit of the system is reached is none that is wrong: contracts.md
// section 1.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include "steerlm/core/paths.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

TEST(ListingLimitTest, TooManyOpenFilesIsNoFaultOfTheFolder) {
  const TemporaryFolder folder;
  EXPECT_TRUE(files_of(folder.path(), ExitCode::model).empty());
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  const rlimit none{.rlim_cur = 0, .rlim_max = before.rlim_max};
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &none), 0);
  ExitCode code = ExitCode::done;
  std::string said;
  try {
    files_of(folder.path(), ExitCode::model);
  } catch (const Error& error) {
    code = error.code();
    said = error.what();
  }
  ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
  EXPECT_EQ(code, ExitCode::resources);
  EXPECT_NE(said.find("Too many open files; raise the limit of open files: ulimit -n 1024"), std::string::npos) << said;
}

}  // namespace
}  // namespace steerlm
