// judgements: answers of several models as comparisons for a judge, and what the judge said as win rates and Elo.
#include "steerlm/stages/judgements.h"

#include <iostream>
#include <optional>

#include "commands/commands.h"
#include "steerlm/core/output.h"
#include "steerlm/data/compressor.h"

namespace steerlm {

int commands::write_judgements(const ComparisonArguments& arguments) {
  const std::vector<AnswerFile> files = parse_answer_files(arguments.answers);
  OutputOptions options{.overwrite = arguments.overwrite};
  for (const AnswerFile& file : files) options.inputs.push_back(file.path);
  Output output(arguments.output, options);
  Compressor packed(arguments.output, [&](std::string_view bytes) { output.write(bytes); });
  packed.write(make_comparisons(files, arguments.judge == "toy"));
  packed.finish();
  output.finish();
  return 0;
}

int commands::read_judgements(const JudgedArguments& arguments) {
  if (arguments.comparisons == "-" && arguments.judged == "-")
    fail(ExitCode::recipe, {.what = "standard input can be read only once",
                            .where = "--judged",
                            .advice = "write one of the two to a file first"});
  refuse_packed_name(arguments.output, "--output");
  std::optional<Output> output;
  if (!arguments.output.empty())
    output.emplace(arguments.output, OutputOptions{.overwrite = arguments.overwrite,
                                                   .inputs = {arguments.comparisons, arguments.judged}});
  const JudgementReport report = report_judgements(arguments.comparisons, arguments.judged, arguments.seed);
  std::cout << report.text;
  if (!output) return 0;
  output->write(report.json.dump(2) + "\n");
  output->finish();
  return 0;
}

}  // namespace steerlm
