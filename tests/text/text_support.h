// What the tests of text share: a folder that goes with the test, small tokenizers, a check of an error's code and
// words.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"

namespace steerlm {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "steerlm-text-XXXXXX").string();
    path_ = ::mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }
  Path operator/(const std::string& name) const { return path_ / name; }
  const Path& path() const { return path_; }

 private:
  Path path_;
};

inline Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/text" / name; }

inline void write_text(const Path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

// Runs `action`, which must throw an Error of `code` whose text matches.
template <class Action>
void expect_error(ExitCode code, const testing::Matcher<std::string>& matcher, Action action) {
  try {
    action();
    ADD_FAILURE() << "nothing was thrown";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), code) << error.what();
    EXPECT_THAT(std::string(error.what()), matcher);
  }
}

}  // namespace steerlm
