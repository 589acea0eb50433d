// A process that is started and waited for, and the signals and limits that reach it.
#include "stages/step_process.h"

#include <gtest/gtest.h>
#include <pthread.h>
#include <unistd.h>

#include <csignal>

#include "steerlm/core/stop.h"

namespace steerlm {
namespace {

bool signals_child = false;

class StepProcessTest : public testing::Test {
 protected:
  static void SetUpTestSuite() {
    // As a signal that reaches the child before it has become another program.
    ::pthread_atfork(nullptr, nullptr, [] {
      if (signals_child) ::kill(::getpid(), SIGTERM);
    });
  }
  void SetUp() override {
    clear_stop();
    install_stop_handlers();
  }
  void TearDown() override {
    signals_child = false;
    clear_stop();
    remove_stop_handlers();
  }
  static ProcessResult run_shell(const std::string& script) { return run_process("/bin/sh", {"-c", script}, "input"); }
};

TEST_F(StepProcessTest, GivesTheExitCodeAndTheInput) {
  const ProcessResult result = run_shell("[ \"$(cat)\" = input ] && exit 3");
  EXPECT_EQ(result.code, 3);
  EXPECT_FALSE(result.killed);
}

// Our handler would take it, and the program that comes after it would run on and know nothing of it.
TEST_F(StepProcessTest, ASignalBeforeTheProgramHasBegunEndsIt) {
  signals_child = true;
  const ProcessResult result = run_shell("exit 3");
  EXPECT_TRUE(result.killed);
  EXPECT_EQ(result.code, 128 + SIGTERM);
  EXPECT_FALSE(stop_requested()) << "it was not ours";
}

TEST_F(StepProcessTest, AStopBeforeAStepBeginsNone) {
  request_stop();
  Log silent = Log::silent();
  const int code = run_step({"a step", {"-c", "exit 3"}, ""}, "/bin/sh", {.log = &silent});
  EXPECT_EQ(code, static_cast<int>(ExitCode::stopped));
}

// A code of a shell or of a wrapper, and not a signal.
TEST_F(StepProcessTest, AnExitCodeThatLooksLikeASignalIsNone) {
  Log silent = Log::silent();
  const Path program = std::filesystem::temp_directory_path() / ("steerlm-ends-with-137-" + std::to_string(::getpid()));
  write_file_atomic(program, "#!/bin/sh\nexit 137\n");
  std::filesystem::permissions(program, std::filesystem::perms::owner_all);
  try {
    run_step({"a step", {}, ""}, program.string(), {.log = &silent});
    FAIL() << "it is not this program";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::resources);
    EXPECT_NE(std::string(error.what()).find("exit code 137, which it does not have"), std::string::npos)
        << error.what();
  }
  std::filesystem::remove(program);
}

// A limit is the process's own matter: it is told, and not sent a signal.
TEST_F(StepProcessTest, ALimitGoesAlongAndIsNoSignal) {
  stop_after(0, "max_minutes");
  note_progress();
  EXPECT_EQ(run_shell("case $STEERLM_STOP_AT in [0-9]*' max_minutes') exit 3 ;; esac").code, 3);
  clear_stop();
  EXPECT_EQ(run_shell("[ -z \"$STEERLM_STOP_AT\" ] && exit 3").code, 3);
}

}  // namespace
}  // namespace steerlm
