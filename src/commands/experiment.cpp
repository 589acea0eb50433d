#include "steerlm/stages/experiment.h"

#include "commands/commands.h"
#include "steerlm/core/stop.h"

namespace steerlm {

int commands::experiment(const ExperimentArguments& arguments) {
  install_stop_handlers();
  Log log(arguments.quiet);
  const Context context{.dry_run = arguments.dry_run, .quiet = arguments.quiet, .log = &log};
  return run_experiments(arguments.files,
                         {.output = arguments.output, .seeds = arguments.seeds, .quick = arguments.quick},
                         this_program("run the pipelines one by one"), context);
}

}  // namespace steerlm
