#include "steerlm/core/known_files.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "steerlm/core/hash.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

class KnownFilesTest : public ::testing::Test {
 protected:
  KnownFilesTest() { write(std::string(2 << 20, 'a')); }

  void write(const std::string& bytes) { std::ofstream(file_, std::ios::binary) << bytes; }
  // A process that hashes the file, at least two seconds after it was last changed, and leaves what it knows.
  void remember() {
    ::usleep(2'100'000);
    KnownFiles known;
    known.sha256(file_, ExitCode::data);
    ASSERT_TRUE(known.has_news());
    write_file_atomic(record_, known.text());
  }

  TemporaryFolder folder_;
  Path file_ = folder_.path() / "file", record_ = folder_.path() / "record";
};

TEST_F(KnownFilesTest, AFileIsKnownUntilItChanges) {
  remember();
  const std::string hash = sha256_file(file_, ExitCode::data);
  EXPECT_EQ(KnownFiles(record_).known_sha256(file_), hash);
  EXPECT_EQ(KnownFiles(record_).known_sha256(folder_.path() / "." / "file"), hash) << "the same place";
  KnownFiles again(record_);
  EXPECT_EQ(again.sha256(file_, ExitCode::data), hash);
  EXPECT_FALSE(again.has_news());
  EXPECT_TRUE(again.is_unchanged(file_));

  // Another byte, and size and time as before.
  struct stat before {};
  ASSERT_EQ(::stat(file_.c_str(), &before), 0);
  write(std::string(2 << 20, 'b'));
  const timespec times[] = {before.st_atim, before.st_mtim};
  ASSERT_EQ(::utimensat(AT_FDCWD, file_.c_str(), times, 0), 0);
  EXPECT_FALSE(again.is_unchanged(file_));
  EXPECT_FALSE(KnownFiles(record_).known_sha256(file_));
  EXPECT_NE(KnownFiles(record_).sha256(file_, ExitCode::data), hash);
}

TEST_F(KnownFilesTest, AnotherFileInItsPlaceIsNotKnown) {
  remember();
  std::filesystem::rename(file_, folder_.path() / "moved");
  EXPECT_FALSE(KnownFiles(record_).known_sha256(file_));
  std::filesystem::copy_file(folder_.path() / "moved", file_);
  EXPECT_FALSE(KnownFiles(record_).known_sha256(file_));
}

TEST_F(KnownFilesTest, WhatWasJustWrittenIsReadAgain) {
  KnownFiles known;
  known.sha256(file_, ExitCode::data);
  EXPECT_FALSE(known.has_news());
  EXPECT_FALSE(known.known_sha256(file_));
  EXPECT_TRUE(known.is_unchanged(file_));
  write_file_atomic(record_, known.text());
  EXPECT_FALSE(KnownFiles(record_).known_sha256(file_));
}

TEST_F(KnownFilesTest, ARecordThatIsNoneKnowsNothing) {
  for (const char* bytes :
       {"", "{", "[]", "{\"format\": 1}", "{\"format\": 1, \"files\": [{}], \"facts\": []}",
        "{\"format\": 2, \"files\": [], \"facts\": [\"a\"]}", "{\"format\": 1, \"files\": 3, \"facts\": [\"a\"]}"}) {
    write_file_atomic(record_, bytes);
    EXPECT_FALSE(KnownFiles(record_).known_sha256(file_)) << bytes;
    EXPECT_FALSE(KnownFiles(record_).knows("a")) << bytes;
  }
  EXPECT_FALSE(KnownFiles(folder_.path()).knows("a"));
}

TEST_F(KnownFilesTest, FactsAreKept) {
  KnownFiles known;
  known.learn("a");
  EXPECT_TRUE(known.has_news());
  write_file_atomic(record_, known.text());
  KnownFiles again(record_);
  EXPECT_TRUE(again.knows("a"));
  EXPECT_FALSE(again.knows("b"));
  again.learn("a");
  EXPECT_FALSE(again.has_news());
}

}  // namespace
}  // namespace steerlm
