#include "steerlm/core/stop.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdlib>
#include <ctime>
#include <string>
#include <utility>

#include "steerlm/core/error.h"

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

TEST(StopTest, HandlersThatAreRemovedLeaveTheSignalsAsTheyWere) {
  for (const int signal : {SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2}) {
    const pid_t child = ::fork();
    if (child == 0) {
      ::signal(SIGALRM, [](int) {});  // somebody else's
      ::signal(SIGHUP, SIG_DFL);
      install_stop_handlers(true);
      remove_stop_handlers();
      if (::signal(SIGALRM, SIG_IGN) == SIG_DFL) ::_exit(1);
      ::raise(signal);
      ::_exit(0);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status) && WTERMSIG(status) == signal) << signal;
  }
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

TEST(StopTest, WaitingForInputEndsAtAStop) {
  clear_stop();
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  ASSERT_EQ(::write(ends[1], "x", 1), 1);
  request_stop();
  EXPECT_NO_THROW(wait_to_read(ends[0], "a pipe")) << "something is there";
  char byte = 0;
  ASSERT_EQ(::read(ends[0], &byte, 1), 1);
  try {
    wait_to_read(ends[0], "a pipe");
    FAIL() << "nothing is there";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::stopped);
    EXPECT_EQ(error.faults().front().what, "stopped on request while waiting for a pipe");
  }
  ::close(ends[1]);
  EXPECT_NO_THROW(wait_to_read(ends[0], "a pipe")) << "the end is there";
  ::close(ends[0]);
  clear_stop();
}

TEST(StopTest, OfSeveralTimeLimitsTheFirstCounts) {
  clear_stop();
  stop_after(1000, "late");
  EXPECT_FALSE(stop_requested());
  stop_after(0, "early");
  stop_after(500, "later");
  EXPECT_FALSE(stop_requested()) << "nothing was done yet";
  note_progress();
  EXPECT_TRUE(stop_requested());
  EXPECT_EQ(stop_reason(), "by early");
  request_stop();
  EXPECT_EQ(stop_reason(), "on request");
  clear_stop();
  EXPECT_FALSE(stop_requested());
}

TEST(StopTest, AChildObeysTheLimitOfItsParentOnceItHasGotAnywhere) {
  clear_stop();
  EXPECT_EQ(stop_entry(), "");
  stop_after(0, "max_minutes");
  const std::string entry = stop_entry();
  clear_stop();
  const size_t equals = entry.find('=');
  ASSERT_NE(equals, std::string::npos) << entry;
  const std::string name = entry.substr(0, equals);
  ::setenv(name.c_str(), entry.c_str() + equals + 1, 1);
  stop_with_parent();
  EXPECT_FALSE(stop_requested()) << "nothing was done yet";
  note_progress();
  EXPECT_TRUE(stop_requested());
  EXPECT_FALSE(stop_signalled());
  EXPECT_EQ(stop_reason(), "by max_minutes");
  clear_stop();
  for (const char* nobodys : {"", "x", "1", "1e9 max_minutes"}) {
    ::setenv(name.c_str(), nobodys, 1);
    stop_with_parent();
    EXPECT_EQ(stop_entry(), "") << nobodys;
  }
  ::unsetenv(name.c_str());
}

// What is said of SLURM_JOB_END_TIME, and whether it has stopped the run at once.
std::pair<std::string, bool> with_slurm_end(const std::string& value) {
  clear_stop();
  ::setenv("SLURM_JOB_END_TIME", value.c_str(), 1);
  const std::string said = stop_at_slurm_end();
  note_progress();
  ::unsetenv("SLURM_JOB_END_TIME");
  const bool stopped = stop_requested();
  clear_stop();
  return {said, stopped};
}

TEST(StopTest, TheEndOfASlurmJobIsATimeLimitLessAMinute) {
  EXPECT_EQ(stop_at_slurm_end(), "");
  const auto in = [](std::int64_t seconds) { return std::to_string(std::time(nullptr) + seconds); };
  const auto [later, later_stopped] = with_slurm_end(in(3600));
  EXPECT_TRUE(later.starts_with("stops in 35")) << later;
  EXPECT_FALSE(later_stopped);
  EXPECT_TRUE(with_slurm_end(in(55)).second);
  EXPECT_FALSE(with_slurm_end(in(70)).second);
  const auto [past, past_stopped] = with_slurm_end(in(-5));
  EXPECT_NE(past.find("is past"), std::string::npos) << past;
  EXPECT_FALSE(past_stopped);
  for (const std::string wrong : {"", "soon", "12x", "99999999999999999999"}) {
    const auto [said, stopped] = with_slurm_end(wrong);
    EXPECT_NE(said.find("is ignored: '" + wrong + "' is no number"), std::string::npos) << said;
    EXPECT_FALSE(stopped);
  }
}

}  // namespace
}  // namespace steerlm
