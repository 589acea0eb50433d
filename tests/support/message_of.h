#pragma once

#include <gtest/gtest.h>

#include <string>

#include "steerlm/core/error.h"

namespace steerlm {

// The message of the Error that `action` ends with, "" where it ends well; checks the exit code.
template <class Action>
std::string message_of(ExitCode code, Action&& action) {
  try {
    action();
  } catch (const Error& error) {
    EXPECT_EQ(static_cast<int>(error.code()), static_cast<int>(code)) << error.what();
    return error.what();
  }
  return "";
}

}  // namespace steerlm
