// Stopping on request: SIGTERM and SIGINT set a flag that loops look at between steps; a second SIGINT ends the process
// at once with exit code 130. Stopping is a return value, never an exception.
#pragma once

namespace steerlm {

void install_stop_handlers();
bool stop_requested();
void request_stop();  // what a signal does; for tests and time limits
void clear_stop();

}  // namespace steerlm
