#include "steerlm/core/lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <optional>
#include <string>

#include "support/temporary_folder.h"

namespace steerlm {
namespace {

TEST(LockTest, TheSecondIsTurnedAwayWithTheFoldersName) {
  const TemporaryFolder folder;
  std::optional<DirectoryLock> first(std::in_place, folder.path(), folder.path() / ".lock");
  try {
    const DirectoryLock second(folder.path(), folder.path() / ".lock");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_EQ(
        std::string(error.what()),
        folder.path().string() +
            ": the folder is in use by another process; wait until that run has ended, or choose another run_dir");
  }
  first.reset();
  const DirectoryLock third(folder.path(), folder.path() / ".lock");
}

TEST(LockTest, AMissingFolder) {
  try {
    const DirectoryLock lock("/nowhere", "/nowhere/.lock");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_STREQ(error.what(), "/nowhere: cannot lock the folder: No such file or directory");
  }
}

TEST(LockTest, AKillLeavesNoLock) {
  const TemporaryFolder folder;
  int ready[2];
  ASSERT_EQ(::pipe(ready), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const DirectoryLock lock(folder.path(), folder.path() / ".lock");
    [[maybe_unused]] const ssize_t written = ::write(ready[1], "x", 1);
    for (;;) ::pause();
  }
  char byte;
  ASSERT_EQ(::read(ready[0], &byte, 1), 1);
  EXPECT_THROW(DirectoryLock(folder.path(), folder.path() / ".lock"), Error);
  ::kill(child, SIGKILL);
  ::waitpid(child, nullptr, 0);
  EXPECT_NO_THROW(DirectoryLock(folder.path(), folder.path() / ".lock"));
  ::close(ready[0]);
  ::close(ready[1]);
}

}  // namespace
}  // namespace steerlm
