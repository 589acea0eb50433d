// A process that is killed at one of its operations on files, as core/fs.h counts them.
#pragma once

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <functional>

#include "steerlm/core/fs.h"

namespace steerlm {

// Does `action` in a process of its own, which SIGKILL ends at operation number `last`, from 0; true: the action was
// done before.
inline bool is_done_before_kill(int last, const std::function<void()>& action) {
  const pid_t child = ::fork();
  if (child == 0) {
    int operations = 0;
    set_fs_fault([&](std::string_view, const Path&) {
      if (operations++ == last) ::raise(SIGKILL);
      return 0;
    });
    action();
    ::_exit(0);
  }
  int status = 0;
  EXPECT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_TRUE(WIFSIGNALED(status) || WEXITSTATUS(status) == 0);
  return WIFEXITED(status);
}

}  // namespace steerlm
