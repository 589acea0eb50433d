#include "stages/sample_step.h"

#include <fmt/format.h>

#include "stages/bad_records.h"
#include "steerlm/data/block_job.h"
#include "steerlm/stages/inputs.h"

namespace steerlm {
namespace {

// What the blocks of sampled responses count: {"sampled", "unfinished", "too_long"}; the last two are warned of.
Json sampled_summary(const BlockOutput& output, const std::string& output_path, const Context& context) {
  std::int64_t sampled = 0, unfinished = 0, too_long = 0;
  for (const Json& counts : output.block_counts()) {
    sampled += counts.at("sampled").get<std::int64_t>();
    unfinished += counts.at("unfinished").get<std::int64_t>();
    too_long += counts.at("too_long").get<std::int64_t>();
  }
  if (too_long > 0)
    context.log->warn(
        fmt::format("{} responses were not sampled: their prompts are longer than the policy's context", too_long));
  if (unfinished > 0)
    context.log->warn(fmt::format("{} of {} responses did not end within sampling.max_new_tokens and were left out",
                                  unfinished, sampled));
  if (sampled == unfinished) {
    fail(ExitCode::data, {.what = "no response ended within sampling.max_new_tokens",
                          .where = output_path,
                          .found = fmt::format("{} were cut off, {} were not sampled, for prompts over the context",
                                               unfinished, too_long),
                          .advice = "raise sampling.max_new_tokens, or train the policy on responses that end"});
  }
  return {{"sampled", sampled}, {"unfinished", unfinished}, {"too_long", too_long}};
}

}  // namespace

Outcome sample_step(const Recipe& step, RunDirectory& run, const std::string& output_path,
                    const std::vector<BadRecord>& bad, SampleJob job, const Context& context) {
  run.start();
  write_quarantine(run, bad, context);
  BlockOutputOptions options = output_options(step, context);
  options.counts = sampled_counts;
  BlockOutput output(output_path, run.files().grow("ledger.jsonl"), output_identity(step, run.inputs()), options);
  job.seed = static_cast<std::uint64_t>(step.seed);
  job.title = "sample";
  job.no_response = [&](size_t, const std::string&) { return SampledPrompt{.too_long = job.samples_per_prompt}; };
  if (sample_prompts(job, output, context) == Outcome::stopped) return tell_stopped(context);
  output.finish();
  run.finish(sampled_summary(output, output_path, context), {output_path});
  return Outcome::done;
}

}  // namespace steerlm
