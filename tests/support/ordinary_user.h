// A check as a user to whom files and folders can be closed: root may read and write everything.
#pragma once

#include <grp.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <exception>
#include <filesystem>
#include <functional>

namespace steerlm {

// Calls `check` where the tests run as an ordinary user. Where they run as root, `folder` with all that is in it is
// given to user 65534, and `check` is called as that user in a process of its own, whose failures are the test's.
inline void as_ordinary_user(const std::filesystem::path& folder, const std::function<void()>& check) {
  constexpr unsigned nobody = 65534;
  if (::geteuid() != 0) return check();
  ASSERT_EQ(::lchown(folder.c_str(), nobody, nobody), 0);
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder))
    ASSERT_EQ(::lchown(entry.path().c_str(), nobody, nobody), 0);
  std::fflush(nullptr);
  const pid_t child = ::fork();
  ASSERT_GE(child, 0);
  if (child == 0) {
    const bool changed = ::setgroups(0, nullptr) == 0 && ::setresgid(nobody, nobody, nobody) == 0 &&
                         ::setresuid(nobody, nobody, nobody) == 0;
    EXPECT_TRUE(changed) << "cannot become user " << nobody;
    try {
      if (changed) check();
    } catch (const std::exception& error) {
      ADD_FAILURE() << error.what();
    }
    std::fflush(nullptr);
    ::_exit(::testing::Test::HasFailure() ? 1 : 0);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFEXITED(status) && WEXITSTATUS(status) == 0) << "the check failed as user " << nobody;
}

}  // namespace steerlm
