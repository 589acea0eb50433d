#include "commands/job_output.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "commands/commands.h"
#include "steerlm/cli/notes.h"
#include "steerlm/core/run_place.h"
#include "steerlm/core/stop.h"
#include "steerlm/data/dataset_file.h"
#include "steerlm/report/table.h"

namespace steerlm {
namespace {

Path ledger_of(const std::string& output) { return output + ".part.ledger"; }

}  // namespace

Context begin_job(const JobArguments& arguments, Log& log) {
  install_stop_handlers(true);
  const std::string slurm = stop_at_slurm_end();
  if (!slurm.empty()) log.info(slurm);
  if (std::isnan(arguments.max_minutes)) fail(ExitCode::recipe, {.what = "not a number", .where = "--max-minutes"});
  if (arguments.max_minutes > 0) stop_after(60 * arguments.max_minutes, "--max-minutes");
  // A bar between the lines of the output helps nobody.
  const bool mixed = (arguments.output == "-" || arguments.output == "/dev/stdout") && ::isatty(STDOUT_FILENO) == 1;
  return {.fresh = arguments.fresh, .overwrite = arguments.overwrite, .quiet = arguments.quiet || mixed, .log = &log};
}

OutputPlace check_job_output(const JobArguments& arguments, const OutputOptions& options) {
  OutputPlace place = find_output(arguments.output, options);
  if (!place.through) {
    refuse_input_as_output(ledger_of(arguments.output).string(), options.inputs);
    if (parse_shard(arguments.shard, "--shard").is_part())
      refuse_input_as_output(shard_file(arguments.output).string(), options.inputs);
    BlockOutput::refuse_foreign_ledger(ledger_of(arguments.output));
  }
  if (place.exists) {
    const std::vector<Path> own = BlockOutput::own_files(ledger_of(arguments.output));
    if (std::ranges::find(own, absolute_place(place.file)) != own.end()) return place;
  }
  return check_output(arguments.output, options);
}

JobOutput open_job_output(const JobArguments& arguments, const OutputOptions& options, const Json& settings,
                          std::vector<RecipeInput> inputs, std::vector<std::string> counts) {
  const Shard shard = parse_shard(arguments.shard, "--shard");
  const OutputPlace place = check_job_output(arguments, options);
  if (place.through && shard.is_part()) {
    fail(ExitCode::recipe, {.what = "a shard is written into a file, beside which a second one describes it",
                            .where = "--output",
                            .found = arguments.output});
  }
  BlockOutputOptions block_options{
      .fresh = arguments.fresh,
      .overwrite = arguments.overwrite,
      .inputs = options.inputs,
      .is_shard = shard.is_part(),
      .advice = "give the command as it was, choose another output, or start over with --fresh",
      .counts = std::move(counts)};
  // Two equal commands would take each other's files for their own.
  std::unique_ptr<OutputLock> lock;
  if (!place.through) lock = std::make_unique<OutputLock>(arguments.output, place.file.string() + ".part.lock");
  Json job, identity;
  KnownFiles known;
  if (!place.through) {
    job = {{"command", settings.at("command")},
           {"settings", settings},
           {"inputs", describe_inputs(std::move(inputs), known)}};
    identity = {{"job", job}, {"shard", shard_text(shard)}, {"reading", dataset_file_format}};
    job["reading"] = dataset_file_format;
  }
  if (shard.is_part()) check_shard_file(arguments.output, job, arguments.overwrite);
  JobOutput output{
      std::move(lock), shard, job, arguments.output,
      BlockOutput(arguments.output, place.through ? Path() : ledger_of(arguments.output), identity, block_options)};
  return output;
}

bool finish_job_output(JobOutput& job, const ShardInput& input) {
  if (!job.blocks.finished() && job.shard.is_part())
    write_shard_file(job.output, job.blocks, job.job, job.shard, input);
  if (!job.blocks.finish()) return false;
  job.lock.reset();  // its file goes before the ledger: without a ledger nobody comes back to tidy up
  remove_file(ledger_of(job.output));
  return true;
}

void discard_job_output(const JobOutput& job) {
  const Path ledger = ledger_of(job.output);
  for (const Path& file : BlockOutput::own_files(ledger)) remove_file(file);
  remove_file(ledger);
}

int end_stopped(const JobArguments& arguments, const Context& context) {
  std::error_code error;
  const bool goes_on = std::filesystem::exists(ledger_of(arguments.output), error);
  context.log->warn("stopped " + stop_reason() + "; " +
                    (goes_on ? "what is done is in " + arguments.output + ".part, and the same command goes on"
                             : "the same command begins again"));
  return static_cast<int>(ExitCode::stopped);
}

int commands::merge(const JobArguments& arguments) {
  install_stop_handlers();
  if (arguments.shards.empty()) {
    fail(ExitCode::recipe, {.what = "no shard is named to be merged",
                            .where = "--merge",
                            .expected = "the outputs of all shards behind the options"});
  }
  const std::optional<Merged> merged =
      merge_shards(arguments.merge, arguments.shards, arguments.command, arguments.overwrite);
  Log log(arguments.quiet);
  if (!merged) {
    log.warn("stopped " + stop_reason() + "; nothing was written, the same command begins again");
    return static_cast<int>(ExitCode::stopped);
  }
  log.info(fmt::format("{} shards of {} records merged into {}: {} lines, {} put aside", merged->shards,
                       format_count(merged->records), arguments.merge, format_count(merged->lines),
                       format_count(merged->quarantined)));
  return 0;
}

}  // namespace steerlm
