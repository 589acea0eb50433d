// judgements: answers of several models as comparisons for a judge, and what the judge said as win rates and Elo.
#include "cli/judgement_commands.h"

#include <cstdint>
#include <iostream>
#include <memory>
#include <optional>

#include "cli/commands.h"
#include "cli/inference_options.h"
#include "steerlm/core/output.h"
#include "steerlm/stages/judgements.h"

namespace steerlm {
namespace {

struct JudgedArguments {
  std::string comparisons, judged, output;
  std::uint64_t seed = 1234;
  bool overwrite = false;
};

int read_judgements(const JudgedArguments& arguments) {
  if (arguments.comparisons == "-" && arguments.judged == "-")
    fail(ExitCode::recipe, {.what = "standard input can be read only once",
                            .where = "--judged",
                            .advice = "write one of the two to a file first"});
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

void add_write(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<ComparisonArguments>();
  CLI::App* command = group.add_subcommand("write", "Pair the answers of several models, in both orders, for a judge");
  command->footer(
      "An answer file is what `steerlm generate` writes; all answer the same prompts in the same order. Each line of\n"
      "the output is one comparison. A judge writes a line with its `id` and `winner` (first, second or tie) for "
      "each.");
  add_comparison_options(*command, *arguments)->required();
  command->add_option("--output", arguments->output, "JSON lines, '-' for standard output")->required();
  add_overwrite(*command, arguments->overwrite);
  command->callback(
      [&invocation, arguments] { invocation.action = [arguments] { return write_comparisons(*arguments); }; });
}

void add_read(CLI::App& group, Invocation& invocation) {
  const auto arguments = std::make_shared<JudgedArguments>();
  CLI::App* command = group.add_subcommand("read", "Win rates and Elo of what a judge said of the comparisons");
  command->footer(
      "Elo as SteerLM reports it: start 1000, K 32, mean over 10,000 random orders of the judgements, bootstrap\n"
      "interval. Win rates with a bootstrap interval over the prompts, a tie half a win; 'equal lengths' is the rate\n"
      "with the effect of the answers' lengths taken out.");
  command->add_option("--comparisons", arguments->comparisons, "the file that `judgements write` wrote")->required();
  command->add_option("--judged", arguments->judged, "JSON lines with `id`, and `winner` or `preference`")->required();
  command->add_option("--output", arguments->output, "the figures as JSON");
  command->add_option("--seed", arguments->seed, "of the random orders and the intervals")->capture_default_str();
  add_overwrite(*command, arguments->overwrite);
  command->callback(
      [&invocation, arguments] { invocation.action = [arguments] { return read_judgements(*arguments); }; });
}

}  // namespace

CLI::Option* add_comparison_options(CLI::App& command, ComparisonArguments& arguments) {
  command.add_option("--judge", arguments.judge, "toy: write `winner` too, by the oracle of the toy language")
      ->check(CLI::IsMember({"toy"}));
  return command.add_option("--answers", arguments.answers, "NAME=FILE: a system and its answers; two or more");
}

int write_comparisons(const ComparisonArguments& arguments) {
  const std::vector<AnswerFile> files = parse_answer_files(arguments.answers);
  OutputOptions options{.overwrite = arguments.overwrite};
  for (const AnswerFile& file : files) options.inputs.push_back(file.path);
  Output output(arguments.output, options);
  output.write(make_comparisons(files, arguments.judge == "toy"));
  output.finish();
  return 0;
}

void add_judgement_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("judgements", "Compare answers of several models by a judge of your own");
  group->require_subcommand(1);
  add_write(*group, invocation);
  add_read(*group, invocation);
}

}  // namespace steerlm
