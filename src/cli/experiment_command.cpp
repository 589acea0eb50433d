// experiment: miniatures of the papers' tables over several seeds. With --write-judgements it is `judgements write`.
#include <algorithm>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "cli/commands.h"
#include "cli/common_options.h"
#include "cli/judgement_options.h"
#include "steerlm/core/fs.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// A file, or the name of an experiment that comes with the program.
std::string experiment_file(const std::string& name) {
  if (name.ends_with(".yaml") || name.ends_with(".yml") || name.find('/') != std::string::npos) return name;
  const Path own = recipe_folder() / "experiments" / (name + ".yaml");
  std::error_code error;
  if (std::filesystem::exists(own, error)) return own.string();
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(own.parent_path(), error))
    names.push_back(entry.path().stem().string());
  std::ranges::sort(names);
  const std::string near = suggest(name, names);
  fail(ExitCode::recipe, {.what = "no experiment of this name comes with the program",
                          .found = "'" + name + "'",
                          .advice = (near.empty() ? "" : near + " ") +
                                    "'steerlm recipe list' prints their names; a file of your own ends in .yaml"});
}

void check_comparisons_alone(const ExperimentArguments& arguments) {
  const bool runs = !arguments.experiments.empty() || !arguments.output.empty() || arguments.seeds || arguments.quick ||
                    arguments.dry_run;
  if (runs) {
    fail(ExitCode::recipe,
         {.what = "--write-judgements runs no experiment",
          .expected = "--answers NAME=FILE for two systems or more, and no NAME, --out, --seeds, "
                      "--quick and --dry-run",
          .advice = "run the experiment first, and write the comparisons of its models' answers then"});
  }
}

void check_experiments(const ExperimentArguments& arguments) {
  if (!arguments.comparisons.answers.empty() || !arguments.comparisons.judge.empty() ||
      arguments.comparisons.overwrite) {
    fail(ExitCode::recipe, {.what = "--answers, --judge and --overwrite are of --write-judgements alone",
                            .advice = "add --write-judgements FILE, or leave them out"});
  }
  for (const auto& [name, missing] :
       {std::pair{"NAME", arguments.experiments.empty()}, std::pair{"--out", arguments.output.empty()}}) {
    if (!missing) continue;
    fail(ExitCode::recipe, {.what = std::string(name) + " is required",
                            .where = "experiment",
                            .advice = "'steerlm experiment --help' shows what there is"});
  }
}

}  // namespace

void add_experiment_command(CLI::App& app, Invocation& invocation) {
  const auto arguments = std::make_shared<ExperimentArguments>();
  CLI::App* command = app.add_subcommand("experiment", "Run pipelines over several seeds and table what they leave");
  command->footer(
      "An experiment is a YAML file: a pipeline, the figures that are read from its steps, and what is expected of "
      "them.\n"
      "DIR gets NAME.json and NAME.txt with mean and 95 % interval of each figure; the runs are in DIR/runs. The same\n"
      "command again goes on where it stopped. A threshold that is missed is a result, exit 0.");
  command->add_option("NAME", arguments->experiments, "experiments that come with the program, or files");
  command->add_option("--out", arguments->output, "folder of the results and the runs");
  command
      ->add_option_function<std::int64_t>(
          "--seeds", [arguments](std::int64_t seeds) { arguments->seeds = seeds; },
          "runs of each, instead of the experiment's number")
      ->check(CLI::Range(1, 30));
  command->add_flag("--quick", arguments->quick, "the experiment's quick overrides and one seed");
  command->add_flag("--dry-run", arguments->dry_run, "check the pipelines and their inputs; run nothing");
  command->add_flag("--quiet", arguments->quiet, "warnings and errors only");
  command->add_option("--write-judgements", arguments->comparisons.output,
                      "run nothing; write comparisons of --answers for a judge, as `judgements write` does");
  add_comparison_options(*command, arguments->comparisons);
  add_overwrite(*command, arguments->comparisons.overwrite);
  command->callback([&invocation, arguments] {
    invocation.action = [&invocation, arguments] {
      if (!arguments->comparisons.output.empty()) {
        check_comparisons_alone(*arguments);
        return invocation.compute().write_judgements(arguments->comparisons);
      }
      check_experiments(*arguments);
      for (const std::string& name : arguments->experiments) arguments->files.push_back(experiment_file(name));
      return invocation.compute().experiment(*arguments);
    };
  });
}

}  // namespace steerlm
