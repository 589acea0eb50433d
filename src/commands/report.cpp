// report: run directories in, one HTML page out.
#include "steerlm/stages/report.h"

#include "commands/commands.h"
#include "steerlm/core/output.h"
#include "steerlm/data/compressor.h"

namespace steerlm {

int commands::report(const ReportArguments& arguments) {
  refuse_packed_name(arguments.output, "--out");
  Output output(arguments.output, {.overwrite = arguments.overwrite, .inputs = arguments.runs});
  output.write(make_report(arguments.runs));
  output.finish();
  return 0;
}

}  // namespace steerlm
