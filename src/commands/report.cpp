// report: run directories in, one HTML page out.
#include "steerlm/stages/report.h"

#include "commands/commands.h"
#include "steerlm/core/output.h"
#include "steerlm/data/compressor.h"

namespace steerlm {

int commands::report(const ReportArguments& arguments) {
  refuse_packed_name(arguments.output, "--out");
  OutputOptions options{.overwrite = arguments.overwrite, .inputs = arguments.runs};
  check_output(arguments.output, options);
  std::vector<std::string> outputs;
  const std::string page = make_report(arguments.runs, &outputs);
  std::erase(outputs, "-");  // standard output, which is no input
  options.inputs.insert(options.inputs.end(), outputs.begin(), outputs.end());
  Output output(arguments.output, options);
  output.write(page);
  output.finish();
  return 0;
}

}  // namespace steerlm
