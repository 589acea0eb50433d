// Answers to a list of prompts at chosen dials, as a batch job.
#include <optional>

#include "steerlm/data/block_job.h"
#include "steerlm/stages/inputs.h"
#include "steerlm/stages/run_directory.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"

namespace steerlm {

Outcome run_generate(const Recipe& recipe, const Context& context) {
  const GenerateOptions& options = recipe.generate;
  std::optional<RunDirectory> run = begin_run(recipe, context);
  if (run && run->finished()) return Outcome::done;

  const OpenModel model = open_model(options.model, computing_of(recipe), template_request(recipe));
  tell_template(model.folder, context);
  warn_notes(model.notes, context);
  const std::optional<Label> label = dial_label(model.attributes, options.set, options.model);
  const std::vector<Prompt> prompts =
      read_prompts(options.prompts, model.attributes, model.folder.text_template.system, options.max_prompts);
  if (prompts.empty()) refuse_empty_input("answer", options.prompts);
  if (context.dry_run) {
    context.log->info("would answer " + std::to_string(prompts.size()) + " prompts with " + options.model);
    return Outcome::done;
  }
  run->start();
  BlockOutput output(options.output, run->files().grow("ledger.jsonl"), output_identity(recipe, run->inputs()),
                     output_options(recipe, context));
  const auto answer = [&](size_t begin, size_t end) {
    std::vector<SampleRequest> requests;
    for (size_t p = begin; p < end; ++p) {
      for (std::int64_t s = 0; s < options.samples_per_prompt; ++s)
        requests.push_back({&prompts[p], label, sample_key(p, options.samples_per_prompt, s)});
    }
    const auto results = sample_responses(model, requests, options.sampling, static_cast<std::uint64_t>(recipe.seed),
                                          "generate", context);
    SampledBlock block;
    for (size_t i = 0; i < results.size(); ++i)
      block.lines += dump_json(response_json(requests[i].prompt->json, results[i])) + "\n";
    return block;
  };
  if (sample_blocks(output, prompts.size(), answer) == Outcome::stopped) return Outcome::stopped;
  context.log->info(std::to_string(prompts.size()) + " prompts answered into " + options.output);
  run->finish({{"prompts", prompts.size()}}, {options.output});
  return Outcome::done;
}

}  // namespace steerlm
