#include "steerlm/report/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace steerlm {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class LogFile : public testing::Test {
 protected:
  LogFile() : path_(Path(testing::TempDir()) / ("log_" + std::to_string(::getpid()) + ".txt")) {}
  ~LogFile() override {
    set_fs_fault({});
    std::filesystem::remove(path_);
  }
  Log make(bool quiet, bool terminal) {
    return Log(quiet, terminal, [this](std::string_view line) { screen_ += line; });
  }

  Path path_;
  std::string screen_;
};

TEST_F(LogFile, StandardErrorIsShort) {
  Log log = make(false, false);
  log.info("12 records {} %v");
  log.warn("slow");
  log.error("broken");
  EXPECT_EQ(screen_, "12 records {} %v\nwarning: slow\nerror: broken\n");
}

TEST_F(LogFile, ATerminalsBarIsWipedFirst) {
  Log log = make(false, true);
  log.info("done");
  EXPECT_EQ(screen_, "\r\x1b[Kdone\n");
}

TEST_F(LogFile, QuietKeepsWarningsAndTheFileKeepsAll) {
  Log log = make(true, false);
  log.open_file(path_);
  log.info("one");
  log.warn("two");
  EXPECT_EQ(screen_, "warning: two\n");
  const std::string day = "....-..-.. ..:..:..";
  EXPECT_THAT(read_file(path_, ExitCode::resources, "log"), MatchesRegex(day + " info one\n" + day + " warning two\n"));
}

TEST_F(LogFile, AppendsToWhatIsThere) {
  write_file_atomic(path_, "before\n");
  Log log = make(false, false);
  log.open_file(path_);
  log.error("after");
  EXPECT_THAT(read_file(path_, ExitCode::resources, "log"), MatchesRegex("before\n.* error after\n"));
}

TEST_F(LogFile, TheFirstFileGetsWhatWasSaidBefore) {
  Log log = make(true, false);
  log.info("early");
  log.open_file(path_);
  log.info("late");
  const Path second = path_.string() + ".second";
  log.open_file(second);
  log.warn("last");
  EXPECT_THAT(read_file(path_, ExitCode::resources, "log"),
              MatchesRegex(".* info early\n.* info late\n.* warning last\n"));
  EXPECT_THAT(read_file(second, ExitCode::resources, "log"), MatchesRegex("[^\n]* warning last\n"));
  EXPECT_EQ(screen_, "warning: last\n");
}

TEST_F(LogFile, AFullDiskEndsTheRun) {
  Log log = make(false, false);
  log.open_file(path_);
  set_fs_fault([](std::string_view operation, const Path&) { return operation == "write" ? ENOSPC : 0; });
  try {
    log.info("lost");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_THAT(error.what(), HasSubstr(path_.string()));
  }
  EXPECT_EQ(screen_, "lost\n");
  set_fs_fault({});
  EXPECT_THROW(log.open_file("/no/such/folder/log.txt"), Error);
}

}  // namespace
}  // namespace steerlm
