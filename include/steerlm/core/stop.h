// Stopping on request: SIGTERM, SIGINT, SIGHUP, SIGXCPU, SIGUSR1 and SIGUSR2 set a flag that loops look at between
// steps; a second SIGINT ends the process at once with exit code 130. Of these SIGHUP and those after it stay ignored
// where the caller ignores them, as nohup does. Stopping is a return value, never an exception.
#pragma once

namespace steerlm {

void install_stop_handlers();
bool is_stop_signal(int signal);
bool stop_requested();
void request_stop();  // what a signal does; for tests and time limits
void clear_stop();

}  // namespace steerlm
