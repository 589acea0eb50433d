// Runs a command line in this process and catches what it writes.
#pragma once

#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <iostream>
#include <string>
#include <vector>

#include "cli/app.h"

namespace steerlm {

struct Outcome {
  int code;
  std::string out, err;
};

// `input` is what the command reads from standard input.
inline Outcome run_command(std::vector<std::string> words, const std::string& input = "") {
  words.insert(words.begin(), "steerlm");
  std::vector<char*> argv;
  for (std::string& word : words) argv.push_back(word.data());
  const int standard_input = ::dup(STDIN_FILENO), file = ::memfd_create("input", MFD_CLOEXEC);
  EXPECT_EQ(::write(file, input.data(), input.size()), std::ssize(input));
  ::lseek(file, 0, SEEK_SET);
  ::dup2(file, STDIN_FILENO);
  ::close(file);
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = run_program(static_cast<int>(argv.size()), argv.data(), steerlm_compute_commands);
  std::cout.flush();
  ::dup2(standard_input, STDIN_FILENO);
  ::close(standard_input);
  std::string out = ::testing::internal::GetCapturedStdout();
  return {code, std::move(out), ::testing::internal::GetCapturedStderr()};
}

}  // namespace steerlm
