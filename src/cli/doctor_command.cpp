// doctor.
#include "cli/commands.h"

namespace steerlm {

void add_doctor_command(CLI::App& app, Invocation& invocation) {
  CLI::App* command = app.add_subcommand("doctor", "Say what this machine offers, and whether the program works on it");
  command->footer(
      "Ends with 5 where something that every run needs does not work: writing files here, libtorch's arithmetic, or "
      "the GPU of "
      "a machine that has one.");
  command->callback([&invocation] { invocation.action = [&invocation] { return invocation.compute().doctor(); }; });
}

}  // namespace steerlm
