// Stopping on request or by a time limit. SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1 and SIGUSR2 set a flag that loops
// look at between steps; a second SIGINT ends the process at once with exit code 130. Of these SIGHUP and those after
// it stay ignored where the caller ignores them, as nohup does. Stopping is a return value, and an exception only
// where another program is waited for.
#pragma once

#include <string>

namespace steerlm {

// A closed pipe becomes a failed write with a message; with `ends_at_closed_pipe` it stays what it was.
void install_stop_handlers(bool ends_at_closed_pipe = false);
// These signals end the process again.
void remove_stop_handlers();
bool is_stop_signal(int signal);
bool stop_requested();
bool stop_signalled();  // without limits of time
void request_stop();    // what a signal does; for tests
void clear_stop();      // limits of time too

// From so many seconds on stop_requested() is true, but not before note_progress(): a run whose limit is too short to
// get anywhere would otherwise be given again and again in vain. `limit` names the limit in messages ("max_minutes");
// of several the one that comes first counts.
void stop_after(double seconds, const std::string& limit);
void note_progress();  // something was done that a later run need not do again

// The time at which the batch system Slurm ends the job, SLURM_JOB_END_TIME (seconds since 1970), is a time limit less
// a minute for saving. Returns what is to be said of it: when the run will stop, or that the variable was ignored
// because it is no number or past; "" without the variable.
std::string stop_at_slurm_end();

// The limit as an entry of the environment of a process that this one starts, and waits for; "" where there is none.
// That process obeys it by stop_with_parent(), once it has got anywhere itself.
std::string stop_entry();
void stop_with_parent();

// "on request" or "by max_minutes": why stop_requested() is true.
std::string stop_reason();

// Waits until `descriptor` has something to read or is at its end: read(2) itself would wait on after a signal. Throws
// stopped where a stop is requested meanwhile; `from` names what is waited for.
void wait_to_read(int descriptor, const std::string& from);
// For waits of other kinds: throws stopped where a stop is requested.
void end_waiting_at_stop(const std::string& waiting_for);

}  // namespace steerlm
