// report: run directories in, one HTML page out.
#include <memory>

#include "cli/commands.h"
#include "cli/common_options.h"

namespace steerlm {

void add_report_command(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<ReportArguments>();
  CLI::App* command = app.add_subcommand("report", "Write one HTML page about runs: plots, tables, texts, recipes");
  command->footer(
      "A RUN is the run directory of any stage or of a pipeline, whose steps are shown too; several are compared side "
      "by "
      "side.\nThe page needs no network and no script. A pipeline writes it into its run directory as report.html.");
  command->add_option("RUN", arguments->runs, "run directories")->required();
  command->add_option("--out", arguments->output, "the HTML file, '-' for standard output")->required();
  add_overwrite(*command, arguments->overwrite);
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().report(*arguments); };
  });
}

}  // namespace steerlm
