#include "steerlm/core/lock.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <optional>
#include <string>
#include <vector>

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
    EXPECT_STREQ(error.what(),
                 "/nowhere: cannot lock the folder: No such file or directory; a folder of its path is gone");
  }
}

TEST(LockTest, AFailureComesWithWhatHelps) {
  const TemporaryFolder folder;
  try {
    const DirectoryLock lock("here", folder.path() / std::string(300, 'x'));
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "here: cannot lock the folder: File name too long; choose a shorter name");
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

TEST(OutputLockTest, TheSecondIsTurnedAwayAndTheFileGoes) {
  const TemporaryFolder folder;
  const Path file = folder.path() / "out.part.lock";
  {
    const OutputLock first("out", file);
    EXPECT_TRUE(std::filesystem::exists(file));
    try {
      const OutputLock second("out", file);
      FAIL();
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ExitCode::resources);
      EXPECT_STREQ(error.what(),
                   "out: another process writes this output; wait until it has ended, or choose another output");
    }
    EXPECT_TRUE(std::filesystem::exists(file)) << "it is the first one's";
  }
  EXPECT_FALSE(std::filesystem::exists(file));
  std::ofstream(file).close();  // what a kill has left
  { const OutputLock third("out", file); }
  EXPECT_FALSE(std::filesystem::exists(file));
}

TEST(OutputLockTest, WhatIsNotALockStays) {
  const TemporaryFolder folder;
  const Path file = folder.path() / "out.part.lock";
  std::ofstream(file) << "mine";
  EXPECT_THROW(OutputLock("out", file), Error);
  EXPECT_EQ(std::filesystem::file_size(file), 4u);
  std::filesystem::remove(file);
  std::filesystem::create_symlink("elsewhere", file);
  EXPECT_THROW(OutputLock("out", file), Error);
  EXPECT_TRUE(std::filesystem::is_symlink(file));
  EXPECT_FALSE(std::filesystem::exists(folder.path() / "elsewhere"));
  EXPECT_THROW(OutputLock("out", "/nowhere/out.part.lock"), Error);
}

// Between opening the file and locking it another process may have removed it: two would hold locks of two files.
TEST(OutputLockTest, ManyProcessesOneAtATime) {
  const TemporaryFolder folder;
  const Path file = folder.path() / "out.part.lock", inside = folder.path() / "inside";
  std::vector<pid_t> children;
  for (int c = 0; c < 6; ++c) {
    const pid_t child = ::fork();
    if (child == 0) {
      int wrong = 0;
      for (int time = 0; time < 200; ++time) {
        try {
          const OutputLock lock("out", file);
          wrong += ::mkdir(inside.c_str(), 0755) != 0;
          wrong += ::rmdir(inside.c_str()) != 0;
        } catch (const Error&) {  // another one has it
        }
      }
      ::_exit(wrong == 0 ? 0 : 1);
    }
    children.push_back(child);
  }
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_EQ(status, 0);
  }
}

}  // namespace
}  // namespace steerlm
