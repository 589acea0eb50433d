#include "steerlm/stages/sample.h"

#include <fmt/format.h>

#include <algorithm>
#include <chrono>

#include "steerlm/core/stop.h"
#include "steerlm/core/suggest.h"
#include "steerlm/report/progress.h"
#include "steerlm/text/template.h"

namespace steerlm {

std::optional<Label> dial_label(const Attributes& attributes, const std::map<std::string, std::int64_t>& set,
                                const std::string& folder) {
  if (!attributes.declared()) {
    if (set.empty()) return std::nullopt;
    fail(ExitCode::recipe, {.what = "the model has no dials: its steerlm.json declares no attributes",
                            .where = folder,
                            .found = "a value for " + set.begin()->first});
  }
  std::vector<float> values(attributes.defaults.begin(), attributes.defaults.end());
  for (const auto& [name, value] : set) {
    const size_t index = named_attribute(attributes, name, folder);
    if (value < attributes.min || value > attributes.max) {
      fail(ExitCode::recipe, {.what = "the value of '" + name + "' is out of range",
                              .where = folder,
                              .found = std::to_string(value),
                              .expected = fmt::format("{} to {}; the dials are {}", attributes.min, attributes.max,
                                                      join(attributes.names))});
    }
    values[index] = static_cast<float>(value);
  }
  return make_label(attributes, values);
}

GenerationSettings generation_settings(const OpenModel& model, const ConversationTemplate& conversation_template,
                                       const SamplingOptions& sampling, std::uint64_t seed) {
  GenerationSettings settings;
  settings.sampling = sampling;
  settings.seed = seed;
  settings.eos_ids.assign(model.folder.eos_token_ids.begin(), model.folder.eos_token_ids.end());
  settings.stop_text = std::string(conversation_template.turn_marker());
  if (const auto id = conversation_template.end_of_turn_id()) settings.eos_ids.push_back(*id);
  return settings;
}

void require_dials(const OpenModel& model) {
  if (model.attributes.declared()) return;
  fail(ExitCode::model, {.what = "the model has no dials: its steerlm.json declares no attributes",
                         .where = model.folder.path.string(),
                         .advice = "train one with `steerlm sft` on annotated records"});
}

std::uint64_t sample_key(size_t prompt, std::int64_t samples_per_prompt, std::int64_t sample) {
  return static_cast<std::uint64_t>(prompt) * static_cast<std::uint64_t>(samples_per_prompt) +
         static_cast<std::uint64_t>(sample);
}

Outcome sample_blocks(BlockOutput& output, size_t prompts,
                      const std::function<SampledBlock(size_t begin, size_t end)>& answer) {
  constexpr size_t block_prompts = 256;
  if (output.finished()) return Outcome::done;
  for (size_t begin = static_cast<size_t>(output.records_done()); begin < prompts; begin += block_prompts) {
    if (stop_requested()) return Outcome::stopped;
    const size_t end = std::min(prompts, begin + block_prompts);
    const SampledBlock block = answer(begin, end);
    output.append(static_cast<std::int64_t>(end - begin), block.lines, "", block.counts);
  }
  output.finish();
  return Outcome::done;
}

namespace {

std::vector<std::int32_t> encode_request(const ConversationTemplate& conversation_template,
                                         const SampleRequest& request) {
  Conversation conversation = request.prompt->conversation;
  for (Turn& turn : conversation.turns) {
    if (turn.from == "Assistant" && !turn.label) turn.label = request.label;
  }
  return conversation_template.encode_prompt(conversation, request.label);
}

}  // namespace

std::vector<SampleRequest> within_context(const OpenModel& model, std::span<const SampleRequest> requests) {
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  const size_t context = static_cast<size_t>(model.folder.config.context_length());
  std::vector<SampleRequest> fitting;
  for (const SampleRequest& request : requests) {
    if (encode_request(conversation_template, request).size() < context) fitting.push_back(request);
  }
  return fitting;
}

std::vector<GenerationResult> sample_responses(const OpenModel& model, std::span<const SampleRequest> requests,
                                               const SamplingOptions& sampling, std::uint64_t seed,
                                               const std::string& title, const Context& context) {
  const ConversationTemplate conversation_template = make_template(model.folder, model.tokenizer);
  std::vector<GenerationRequest> prompts;
  for (const SampleRequest& request : requests)
    prompts.push_back({encode_request(conversation_template, request), request.key, request.prompt->place()});
  const GenerationSettings settings = generation_settings(model, conversation_template, sampling, seed);
  Progress progress(title, "responses", static_cast<std::int64_t>(prompts.size()),
                    standard_error_progress(context.quiet));
  const auto begin = std::chrono::steady_clock::now();
  auto results =
      generate(model.transformer, model.tokenizer, prompts, settings, [&](std::int64_t done, std::int64_t tokens) {
        const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
        progress.update(done, fmt::format("{:.0f} tok/s", static_cast<double>(tokens) / seconds));
      });
  progress.finish();
  return results;
}

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
  if (sampled == unfinished)
    fail(ExitCode::data, {.what = "no response ended within sampling.max_new_tokens", .where = output_path});
  return {{"sampled", sampled}, {"unfinished", unfinished}, {"too_long", too_long}};
}

Json response_json(const Json& input, const GenerationResult& result) {
  Json line = input;
  line["response"] = result.response;
  line["token_ids"] = result.ids;
  line["logprob"] = result.logprob;
  line["finish"] = result.stopped ? "stop" : "length";
  return line;
}

}  // namespace steerlm
