// generate: a model folder, prompts in, JSON lines out.
#include <fmt/format.h>

#include <optional>

#include "commands/commands.h"
#include "commands/inference_options.h"
#include "commands/job_output.h"
#include "commands/template_request.h"
#include "steerlm/core/stop.h"
#include "steerlm/stages/sample.h"
#include "steerlm/stages/stages.h"

namespace steerlm {
namespace {

std::vector<Prompt> prompts_of(const GenerateArguments& arguments, const OpenModel& model) {
  const std::string system = arguments.system.value_or(model.folder.text_template.system);
  std::vector<Prompt> prompts;
  if (!arguments.input.empty()) {
    const std::vector<SourceOptions> input{{.path = arguments.input}};
    prompts = read_prompts(input, model.attributes, system, 0);
    if (prompts.empty()) refuse_empty_input("answer", input);
    if (arguments.system) {
      for (Prompt& prompt : prompts) prompt.conversation.system = *arguments.system;
    }
  } else {
    Prompt prompt;
    prompt.conversation = {system, {"User"}, ConversationType::none, {{"User", arguments.prompt, std::nullopt}}};
    prompt.json = {{"prompt", arguments.prompt}};
    prompt.file = "--prompt";
    prompts.push_back(std::move(prompt));
  }
  return prompts;
}

// At temperature 0 an answer is the most probable token each time.
void warn_of_greedy_sampling(const GenerateArguments& arguments, Log& log) {
  if (arguments.sampling.temperature != 0) return;
  const GenerateArguments defaults;
  for (const auto& [option, given] : {std::pair{"--top-k", arguments.sampling.top_k != defaults.sampling.top_k},
                                      {"--top-p", arguments.sampling.top_p != defaults.sampling.top_p},
                                      {"--seed", arguments.seed != defaults.seed}}) {
    if (given) log.warn(std::string(option) + " has no effect at --temperature 0, which draws nothing at random");
  }
  if (arguments.samples > 1) {
    log.warn(fmt::format("the {} answers to a prompt are equal at --temperature 0, which draws nothing at random",
                         arguments.samples));
  }
}

// What the answers depend on, beside model and input.
Json settings_of(const GenerateArguments& arguments, const OpenModel& model) {
  const SamplingOptions& sampling = arguments.sampling;
  return {{"command", "generate"},
          {"prompt", arguments.prompt},
          {"set", arguments.set},
          {"system", arguments.system ? Json(*arguments.system) : Json()},
          {"template", arguments.text_template},
          {"raw", arguments.raw},
          {"sampling", {sampling.top_k, sampling.temperature, sampling.top_p, sampling.max_new_tokens}},
          {"samples", arguments.samples},
          {"seed", arguments.seed},
          {"precision", computed_precision(model)}};
}

}  // namespace

int commands::generate(const GenerateArguments& arguments) {
  check_text(arguments.prompt, "--prompt");
  check_text(arguments.system.value_or(""), "--system");
  check_sampling(arguments.sampling);
  const OutputOptions output_options = output_beside(arguments.model, arguments.input, arguments.job.overwrite);
  check_job_output(arguments.job, output_options);
  Log log(arguments.job.quiet);
  const Context context = begin_job(arguments.job, log);
  for (const auto& [option, given] : {std::pair{"--set", !arguments.set.empty()},
                                      {"--system", arguments.system.has_value()},
                                      {"--template", !arguments.text_template.empty()}}) {
    if (arguments.raw && given)
      log.warn(std::string(option) + " has no effect with --raw, which gives the model the prompt as it is");
  }
  warn_of_greedy_sampling(arguments, log);
  TemplateRequest request = parse_template(arguments.text_template, arguments.system);
  request.required = !arguments.raw;
  const OpenModel model = open_text_model(arguments.model, arguments.device, arguments.precision, request);
  const std::optional<Label> label = dial_label(model.attributes, parse_dials(arguments.set, "--set"), arguments.model);
  const std::vector<Prompt> prompts = prompts_of(arguments, model);
  JobOutput output =
      open_job_output(arguments.job, output_options, settings_of(arguments, model),
                      {{arguments.model, ExitCode::model}, {arguments.input, ExitCode::data}}, sampled_counts);
  const SampleJob job{.model = model,
                      .raw = arguments.raw,
                      .sampling = arguments.sampling,
                      .seed = static_cast<std::uint64_t>(arguments.seed),
                      .title = "generate",
                      .prompts = prompts.size(),
                      .samples_per_prompt = arguments.samples,
                      .shard = output.shard,
                      .requests = [&](size_t p) { return requests_of(prompts[p], p, arguments.samples, label); },
                      .lines = [&](size_t p, std::span<const SampleRequest>,
                                   std::span<const GenerationResult> results) { return answered(prompts[p], results); },
                      .no_response = [&](size_t p, const std::string& fault) -> SampledPrompt {
                        fail(ExitCode::data, {.what = fault, .where = prompts[p].place()});
                      },
                      .input_hash = [&](size_t p) { return prompts[p].input_hash; }};
  // A single prompt is no job that anybody watches.
  Log silent = Log::silent();
  Context shown = context;
  if (arguments.input.empty()) shown = {.quiet = true, .log = &silent};
  if (sample_prompts(job, output.blocks, shown) == Outcome::stopped) return end_stopped(arguments.job, context);
  if (!finish_job_output(
          output, {static_cast<std::int64_t>(sample_block_prompts), std::ssize(prompts), prompts.back().input_hash}))
    return end_stopped(arguments.job, context);
  if (!arguments.input.empty())
    log.info(fmt::format("{} prompts answered into {}", output.blocks.records_done(), arguments.job.output));
  return 0;
}

}  // namespace steerlm
