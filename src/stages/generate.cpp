// Answers to a list of prompts at chosen dials, as a batch job.
#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "stages/bad_records.h"
#include "stages/recipe_shard.h"
#include "steerlm/core/paths.h"
#include "steerlm/data/block_job.h"
#include "steerlm/data/shard.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"

namespace steerlm {

Outcome run_generate(const Recipe& recipe, const Context& context) {
  const GenerateOptions& options = recipe.generate;
  const Shard shard = recipe_shard(recipe);
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;
  warn_notes(recipe.without_effect, context);

  const OpenModel model = open_model(options.model, computing_of(recipe), template_request(recipe));
  tell_template(model.folder, context);
  warn_notes(model.notes, context);
  require_language_model(model.folder, "model");
  const std::optional<Label> label = dial_label(model.attributes, options.set, options.model);
  const bool stops = options.on_bad_record == OnBadRecord::stop;
  std::vector<Prompt> prompts = read_prompts(options.prompts, model.attributes, model.folder.text_template.system,
                                             options.max_prompts, stops ? BadPrompts::refused : BadPrompts::kept);
  if (prompts.empty()) refuse_empty_input("answer", options.prompts);
  // Before --fresh removes anything, all that would end the run.
  const bool looks_ahead = context.dry_run || context.fresh;
  const std::optional<ConversationTemplate> conversation_template = make_template(model.folder, model.tokenizer);
  std::int64_t own = 0, bad = 0;  // prompts of this shard
  const Prompt* first_bad = nullptr;
  for (size_t p = 0; p < prompts.size(); ++p) {
    if (!shard.has(static_cast<std::int64_t>(p / sample_block_prompts))) continue;
    ++own;
    Prompt& prompt = prompts[p];
    if (looks_ahead && prompt.fault.empty())
      prompt.fault = request_fault(model.folder, model.tokenizer, conversation_template, {&prompt, label, 0});
    if (prompt.fault.empty()) continue;
    if (stops) refuse_bad_record(prompt.file, prompt.line, prompt.fault);
    if (bad++ == 0) first_bad = &prompt;
  }
  if (first_bad != nullptr)
    check_bad_share(bad, own, options.max_bad_share, first_bad->place(), "here: " + first_bad->fault);
  if (context.dry_run) {
    context.log->info(fmt::format("would answer {} prompts with {}; {} bad ones", own - bad, options.model, bad));
    return Outcome::done;
  }
  run->start();
  BlockOutputOptions output_given = output_options(recipe, context);
  output_given.counts = sampled_counts;
  output_given.needs_quarantine = shard.is_part();
  BlockOutput output(options.output, run->files().grow("ledger.jsonl"), output_identity(recipe, run->inputs()),
                     output_given);
  const Json job_identity = shard_job(recipe, run->inputs());
  const SampleJob job{
      .model = model,
      .sampling = options.sampling,
      .seed = static_cast<std::uint64_t>(recipe.seed),
      .title = "generate",
      .prompts = prompts.size(),
      .samples_per_prompt = options.samples_per_prompt,
      .shard = shard,
      .requests = [&](size_t p) { return requests_of(prompts[p], p, options.samples_per_prompt, label); },
      .lines = [&](size_t p, std::span<const SampleRequest>,
                   std::span<const GenerationResult> results) { return answered(prompts[p], results); },
      .no_response =
          [&](size_t p, const std::string& fault) {
            const Prompt& prompt = prompts[p];
            if (stops) refuse_bad_record(prompt.file, prompt.line, fault);
            return SampledPrompt{.quarantine = quarantine_line(prompt.file, prompt.line, fault, prompt.text), .bad = 1};
          },
      .fault = [&](size_t p) { return prompts[p].fault; },
      .input_hash = [&](size_t p) { return prompts[p].input_hash; }};
  if (sample_prompts(job, output, context) == Outcome::stopped) return tell_stopped(context);
  const bool describes = shard.is_part() && !is_there(shard_file(options.output), ExitCode::resources);
  if (!output.finished() || describes) {
    if (shard.is_part()) {
      write_shard_file(
          options.output, output, job_identity, shard,
          {static_cast<std::int64_t>(sample_block_prompts), std::ssize(prompts), prompts.back().input_hash});
      run->files().enter_output(shard_file(options.output), true);
    }
    if (!output.finish()) return tell_stopped(context);
  }
  std::int64_t put_aside = 0;
  for (const Json& counts : output.block_counts()) put_aside += counts.at("bad").get<std::int64_t>();
  const std::int64_t all = output.records_done();
  context.log->info(fmt::format("{} prompts answered into {}, {} put aside{}", all - put_aside, options.output,
                                put_aside, put_aside > 0 ? " in " + output.quarantine_path().string() : ""));
  check_bad_share(put_aside, all, options.max_bad_share, output.quarantine_path().string(),
                  "the file says what is wrong with each");
  run->finish({{"prompts", all - put_aside}, {"bad", put_aside}}, outputs_of(options.output, shard));
  return Outcome::done;
}

}  // namespace steerlm
