// What the tests of text share: small tokenizers, what they encode, a check of an error's code and words.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"
#include "steerlm/text/tokenizer.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {

inline Path fixture(const std::string& name) { return Path(STEERLM_SOURCE_DIR) / "tests/fixtures/text" / name; }

inline void write_text(const Path& path, const std::string& text) { std::ofstream(path, std::ios::binary) << text; }

inline std::vector<std::int32_t> continuation(const Tokenizer& tokenizer, std::string_view text) {
  std::vector<std::int32_t> ids;
  tokenizer.append_continuation(text, ids);
  return ids;
}

// Several threads encode at once what one has encoded.
inline void expect_same_in_threads(const Tokenizer& tokenizer) {
  const std::string text = "The quick house of the old man";
  const std::vector<std::int32_t> expected = continuation(tokenizer, text);
  std::vector<std::thread> threads;
  std::vector<int> wrong(4, 0);
  for (int& count : wrong) {
    threads.emplace_back([&] {
      for (int i = 0; i < 200; ++i) count += continuation(tokenizer, text) != expected;
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_THAT(wrong, testing::Each(0));
}

// Runs `action`, which must throw an Error of `code` whose text matches.
template <class Action>
void expect_error(ExitCode code, const testing::Matcher<std::string>& matcher, Action action) {
  const std::string message = message_of(code, action);
  EXPECT_FALSE(message.empty()) << "nothing was thrown";
  EXPECT_THAT(message, matcher);
}

}  // namespace steerlm
