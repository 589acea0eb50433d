// judgements: answers of several models as comparisons for a judge, and what the judge said as win rates and Elo.
#include <limits>
#include <memory>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/judgement_options.h"

namespace steerlm {
namespace {

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
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().write_judgements(*arguments); };
  });
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
  command->add_option("--seed", arguments->seed, "of the random orders and the intervals")
      ->check(CLI::Range(std::int64_t{0}, std::numeric_limits<std::int64_t>::max()))
      ->capture_default_str();
  add_overwrite(*command, arguments->overwrite);
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] { return invocation.compute().read_judgements(*arguments); };
  });
}

}  // namespace

CLI::Option* add_comparison_options(CLI::App& command, ComparisonArguments& arguments) {
  command.add_option("--judge", arguments.judge, "toy: write `winner` too, by the oracle of the toy language")
      ->check(CLI::IsMember({"toy"}));
  return command.add_option("--answers", arguments.answers, "NAME=FILE: a system and its answers; two or more");
}

void add_judgement_commands(CLI::App& app, Invocation& invocation) {
  CLI::App* group = app.add_subcommand("judgements", "Compare answers of several models by a judge of your own");
  group->require_subcommand(1);
  add_write(*group, invocation);
  add_read(*group, invocation);
}

}  // namespace steerlm
