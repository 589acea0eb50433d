#include "steerlm/core/stop.h"

#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <ctime>
#include <iterator>
#include <string_view>

#include "steerlm/core/error.h"

namespace steerlm {
namespace {

std::atomic<bool> requested{false};
std::atomic<int> interrupts{0};

using Clock = std::chrono::steady_clock;
Clock::time_point deadline = Clock::time_point::max();  // set before work begins
std::string deadline_name;
std::atomic<bool> progressed{false};
constexpr std::string_view parent_limit = "STEERLM_STOP_AT";  // nanoseconds of the clock, a space, the limit's name

void handle(int signal) {
  if (signal == SIGINT && interrupts.fetch_add(1) > 0) ::_exit(130);
  requested.store(true);
}

// A terminal that is closed, and what batch systems send before they end a job: SIGXCPU where its time is used up,
// SIGUSR1 and SIGUSR2 as a warning.
constexpr int warnings[] = {SIGHUP, SIGXCPU, SIGUSR1, SIGUSR2};

}  // namespace

void install_stop_handlers(bool ends_at_closed_pipe) {
  struct sigaction action {};
  action.sa_handler = handle;
  action.sa_flags = SA_RESTART;
  ::sigaction(SIGTERM, &action, nullptr);
  ::sigaction(SIGINT, &action, nullptr);
  for (const int signal : warnings) {
    struct sigaction now {};
    ::sigaction(signal, nullptr, &now);
    if (now.sa_handler != SIG_IGN) ::sigaction(signal, &action, nullptr);  // nohup ignores SIGHUP
  }
  if (!ends_at_closed_pipe) std::signal(SIGPIPE, SIG_IGN);
}

void remove_stop_handlers() {
  for (int signal = 1; signal < NSIG; ++signal) {
    struct sigaction now {};
    if (::sigaction(signal, nullptr, &now) == 0 && now.sa_handler == handle) std::signal(signal, SIG_DFL);
  }
}

bool is_stop_signal(int signal) {
  return signal == SIGTERM || signal == SIGINT || std::ranges::find(warnings, signal) != std::end(warnings);
}

bool stop_requested() { return requested.load() || (progressed.load() && Clock::now() >= deadline); }
bool stop_signalled() { return requested.load(); }
void request_stop() { requested.store(true); }
void clear_stop() {
  requested.store(false);
  deadline = Clock::time_point::max();
  progressed.store(false);
}

void note_progress() { progressed.store(true); }

void stop_after(double seconds, const std::string& limit) {
  constexpr double longest = 1e9;  // 30 years: in the range of the clock
  const auto span = std::chrono::duration<double>(std::clamp(seconds, 0.0, longest));
  const auto end = Clock::now() + std::chrono::duration_cast<Clock::duration>(span);
  if (end >= deadline) return;
  deadline = end;
  deadline_name = limit;
}

std::string stop_at_slurm_end() {
  constexpr std::int64_t margin = 60;
  const char* value = std::getenv("SLURM_JOB_END_TIME");
  if (value == nullptr) return "";
  const std::string_view text = value;
  std::int64_t end = 0;
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), end);
  if (error != std::errc() || last != text.data() + text.size())
    return "SLURM_JOB_END_TIME is ignored: '" + std::string(text) + "' is no number of seconds since 1970";
  const std::int64_t left = end - static_cast<std::int64_t>(std::time(nullptr));
  if (left <= 0) return "SLURM_JOB_END_TIME is ignored: the time is past";
  stop_after(static_cast<double>(left - margin), "SLURM_JOB_END_TIME");
  return "stops in " + std::to_string(std::max<std::int64_t>(left - margin, 0)) +
         " s, a minute before the job's end (SLURM_JOB_END_TIME)";
}

std::string stop_entry() {
  if (deadline == Clock::time_point::max()) return "";
  const auto since = std::chrono::duration_cast<std::chrono::nanoseconds>(deadline.time_since_epoch());
  return std::string(parent_limit) + "=" + std::to_string(since.count()) + " " + deadline_name;
}

// The clock is CLOCK_MONOTONIC, which all processes of a machine share.
void stop_with_parent() {
  const char* value = std::getenv(parent_limit.data());
  if (value == nullptr) return;
  const std::string_view text = value;
  std::int64_t count = 0;
  const auto [last, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || last == text.data() + text.size() || *last != ' ') return;  // nobody's
  const Clock::time_point end{std::chrono::nanoseconds(count)};
  stop_after(std::chrono::duration<double>(end - Clock::now()).count(), last + 1);
}

std::string stop_reason() { return requested.load() ? "on request" : "by " + deadline_name; }

void wait_to_read(int descriptor, const std::string& from) {
  for (;;) {
    pollfd ready{descriptor, POLLIN, 0};
    const int count = ::poll(&ready, 1, 200);                // a time limit sends no signal
    if (count > 0 || (count < 0 && errno != EINTR)) return;  // of a fault read(2) tells
    end_waiting_at_stop(from);
  }
}

void end_waiting_at_stop(const std::string& waiting_for) {
  if (!stop_requested()) return;
  fail(ExitCode::stopped, {.what = "stopped " + stop_reason() + " while waiting for " + waiting_for,
                           .advice = "what was finished is kept; the same command goes on, or begins again"});
}

}  // namespace steerlm
