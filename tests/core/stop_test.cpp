#include "steerlm/core/stop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

namespace steerlm {
namespace {

// What a fresh process ends with that does `act` after installing the handlers.
int exit_code(void (*act)()) {
  const pid_t child = ::fork();
  if (child == 0) {
    clear_stop();
    install_stop_handlers();
    act();
    ::_exit(stop_requested() ? 75 : 0);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

TEST(StopTest, SignalsSetTheFlag) {
  EXPECT_EQ(exit_code([] {}), 0);
  EXPECT_EQ(exit_code([] { ::raise(SIGTERM); }), 75);
  EXPECT_EQ(exit_code([] { ::raise(SIGINT); }), 75);
  EXPECT_EQ(exit_code([] { ::raise(SIGHUP); }), 75);
  EXPECT_EQ(exit_code([] { ::raise(SIGXCPU); }), 75);
  EXPECT_EQ(exit_code([] { ::raise(SIGUSR1); }), 75);
  EXPECT_EQ(exit_code([] { ::raise(SIGUSR2); }), 75);
  EXPECT_EQ(exit_code([] {
              ::raise(SIGTERM);
              ::raise(SIGTERM);
            }),
            75);
}

TEST(StopTest, AWarningThatTheCallerIgnoresStaysIgnored) {
  ::signal(SIGHUP, SIG_IGN);  // as nohup does
  EXPECT_EQ(exit_code([] { ::raise(SIGHUP); }), 0);
  EXPECT_EQ(exit_code([] { ::raise(SIGUSR1); }), 75);
  ::signal(SIGHUP, SIG_DFL);
}

TEST(StopTest, StopSignalsAreKnown) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2}) EXPECT_TRUE(is_stop_signal(signal));
  for (const int signal : {SIGKILL, SIGSEGV, SIGPIPE}) EXPECT_FALSE(is_stop_signal(signal));
}

TEST(StopTest, ASecondInterruptEndsAtOnce) {
  EXPECT_EQ(exit_code([] {
              ::raise(SIGINT);
              ::raise(SIGINT);
            }),
            130);
}

TEST(StopTest, AClosedPipeIsNoDeath) {
  EXPECT_EQ(exit_code([] { ::raise(SIGPIPE); }), 0);
}

TEST(StopTest, RequestAndClear) {
  clear_stop();
  EXPECT_FALSE(stop_requested());
  request_stop();
  EXPECT_TRUE(stop_requested());
  clear_stop();
  EXPECT_FALSE(stop_requested());
}

}  // namespace
}  // namespace steerlm
