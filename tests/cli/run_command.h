// Runs a command line in this process and catches what it writes.
#pragma once

#include <gtest/gtest.h>

#include <iostream>
#include <sstream>
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
  std::istringstream stream(input);
  std::streambuf* const standard_input = std::cin.rdbuf(stream.rdbuf());
  std::cin.clear();
  ::testing::internal::CaptureStdout();
  ::testing::internal::CaptureStderr();
  const int code = run_program(static_cast<int>(argv.size()), argv.data(), steerlm_compute_commands);
  std::cout.flush();
  std::cin.rdbuf(standard_input);
  std::string out = ::testing::internal::GetCapturedStdout();
  return {code, std::move(out), ::testing::internal::GetCapturedStderr()};
}

}  // namespace steerlm
