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
