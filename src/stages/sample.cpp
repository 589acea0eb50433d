#include "steerlm/stages/sample.h"

#include <fmt/format.h>

#include <algorithm>

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

GenerationSettings generation_settings(const OpenModel& model,
                                       const std::optional<ConversationTemplate>& conversation_template,
                                       const SamplingOptions& sampling, std::uint64_t seed) {
  GenerationSettings settings;
  settings.sampling = sampling;
  settings.seed = seed;
  settings.eos_ids.assign(model.folder.eos_token_ids.begin(), model.folder.eos_token_ids.end());
  if (!conversation_template) return settings;
  settings.stop_text = std::string(conversation_template->turn_marker());
  if (const auto id = conversation_template->end_of_turn_id()) settings.eos_ids.push_back(*id);
  return settings;
}

void require_language_model(const ModelFolder& folder, const std::string& key) {
  if (folder.head.kind == HeadKind::regression) {
    fail(ExitCode::model, {.what = "'" + key + "' is a predictor with a regression head, which writes no text",
                           .where = folder.path.string(),
                           .expected = "a language model",
                           .advice = "`steerlm sft` trains one; `steerlm score` reads the scores of this one"});
  }
  if (folder.writes == Writes::labels) {
    fail(ExitCode::model,
         {.what = "'" + key + "' is a predictor: it was trained to write labels, and no answers",
          .where = folder.path.string(),
          .found = "head.writes 'labels' in its steerlm.json",
          .expected = "a language model that writes answers",
          .advice = "`steerlm sft` trains one; `steerlm annotate` writes the labels of this one, and `steerlm "
                    "score --label-logprob` how probable it finds given ones"});
  }
}

void require_dials(const ModelFolder& folder) {
  if (!folder.attributes.names.empty()) return;
  fail(ExitCode::model, {.what = "the model has no dials: its steerlm.json declares no attributes",
                         .where = folder.path.string(),
                         .advice = "train one with `steerlm sft` on annotated records"});
}

std::uint64_t sample_key(size_t prompt, std::int64_t samples_per_prompt, std::int64_t sample) {
  return static_cast<std::uint64_t>(prompt) * static_cast<std::uint64_t>(samples_per_prompt) +
         static_cast<std::uint64_t>(sample);
}

std::vector<SampleRequest> requests_of(const Prompt& prompt, size_t p, std::int64_t samples,
                                       const std::optional<Label>& label) {
  std::vector<SampleRequest> requests;
  for (std::int64_t s = 0; s < samples; ++s) requests.push_back({&prompt, label, sample_key(p, samples, s)});
  return requests;
}

namespace {

std::vector<std::int32_t> encode_request(const Tokenizer& tokenizer,
                                         const std::optional<ConversationTemplate>& conversation_template,
                                         const SampleRequest& request) {
  if (!conversation_template) {
    std::vector<std::int32_t> ids;
    tokenizer.append_first(request.prompt->conversation.turns.back().value, ids);
    return ids;
  }
  Conversation conversation = request.prompt->conversation;
  for (Turn& turn : conversation.turns) {
    if (turn.from == "Assistant" && !turn.label) turn.label = request.label;
  }
  return conversation_template->encode_prompt(conversation, request.label);
}

std::string fault_of(const std::vector<std::int32_t>& ids, std::int64_t context) {
  if (ids.empty()) {
    return "the prompt is empty, and the tokenizer has no BOS that a text would start with; give the model a text to "
           "go "
           "on from";
  }
  if (std::ssize(ids) < context) return "";
  return fmt::format("the prompt is longer than the model's context: {} tokens, at most {} leave room for an answer",
                     ids.size(), context - 1);
}

// The prompts of one block from `begin` on, with what the device is given.
struct PromptBlock {
  size_t begin = 0, end = 0;
  std::vector<SampleRequest> requests;
  std::vector<GenerationRequest> encoded;
  std::vector<size_t> ends;         // of each prompt's requests
  std::vector<std::string> faults;  // of each prompt: why it has none
};

PromptBlock encode_block(const SampleJob& job, const std::optional<ConversationTemplate>& conversation_template,
                         size_t begin, size_t end) {
  const std::int64_t context = job.model.folder.config.context_length();
  PromptBlock block{.begin = begin, .end = end};
  for (size_t p = begin; p < end; ++p) {
    std::string fault = job.fault ? job.fault(p) : "";
    for (const SampleRequest& request : fault.empty() ? job.requests(p) : std::vector<SampleRequest>{}) {
      std::vector<std::int32_t> ids = encode_request(job.model.tokenizer, conversation_template, request);
      fault = fault_of(ids, context);
      if (!fault.empty()) break;
      block.requests.push_back(request);
      block.encoded.push_back({std::move(ids), request.key, request.prompt->place()});
    }
    block.ends.push_back(block.requests.size());
    block.faults.push_back(std::move(fault));
  }
  return block;
}

// What prompts have become, until it is written.
struct Piece {
  std::int64_t prompts = 0;
  std::uint64_t input_hash = 0;  // of the last one
  SampledPrompt sum = {};
  std::map<std::string, std::int64_t>& replaced;  // prompts of all pieces whose key of this name is lost

  void add(const SampledPrompt& prompt, std::uint64_t hash) {
    ++prompts;
    input_hash = hash;
    sum.lines += prompt.lines;
    sum.quarantine += prompt.quarantine;
    sum.sampled += prompt.sampled;
    sum.unfinished += prompt.unfinished;
    sum.too_long += prompt.too_long;
    sum.bad += prompt.bad;
    for (const std::string& key : prompt.replaced) ++replaced["'" + key + "'"];
  }
  void write(BlockOutput& output) {
    if (prompts == 0) return;
    output.append(
        prompts, sum.lines, sum.quarantine,
        {{"sampled", sum.sampled}, {"unfinished", sum.unfinished}, {"too_long", sum.too_long}, {"bad", sum.bad}},
        input_hash);
    prompts = 0;
    sum = {};
  }
};

// Adds the prompts of the block whose responses are all among the first results, from its `taken`-th on.
void take_prompts(const SampleJob& job, const PromptBlock& block, std::span<const GenerationResult> results,
                  size_t& taken, Piece& piece) {
  for (; taken < block.ends.size() && block.ends[taken] <= results.size(); ++taken) {
    const size_t p = block.begin + taken, first = taken == 0 ? 0 : block.ends[taken - 1];
    const size_t count = block.ends[taken] - first;
    piece.add(block.faults[taken].empty()
                  ? job.lines(p, std::span(block.requests).subspan(first, count), results.subspan(first, count))
                  : job.no_response(p, block.faults[taken]),
              job.input_hash ? job.input_hash(p) : 0);
  }
}

}  // namespace

std::string request_fault(const ModelFolder& folder, const Tokenizer& tokenizer,
                          const std::optional<ConversationTemplate>& conversation_template,
                          const SampleRequest& request) {
  return fault_of(encode_request(tokenizer, conversation_template, request), folder.config.context_length());
}

Outcome sample_prompts(const SampleJob& job, BlockOutput& output, const Context& context) {
  if (output.finished()) return Outcome::done;
  std::optional<ConversationTemplate> conversation_template;
  if (!job.raw) conversation_template.emplace(make_template(job.model.folder, job.model.tokenizer));
  const GenerationSettings settings = generation_settings(job.model, conversation_template, job.sampling, job.seed);
  const bool alone = computes_rows_alone(job.model);
  struct PromptRange {
    size_t begin, end;
  };
  std::vector<PromptRange> blocks;  // of this shard, those that are done left out
  std::int64_t prompts = 0, to_skip = output.records_done();
  if (to_skip > 0) context.log->info(fmt::format("goes on after {} prompts", to_skip));
  const std::int64_t before = to_skip * job.samples_per_prompt;
  for (size_t begin = 0; begin < job.prompts; begin += sample_block_prompts) {
    if (!job.shard.has(static_cast<std::int64_t>(begin / sample_block_prompts))) continue;
    PromptRange block{begin, std::min(job.prompts, begin + sample_block_prompts)};
    const auto size = static_cast<std::int64_t>(block.end - block.begin);
    const std::int64_t skipped = std::min(to_skip, size);
    to_skip -= skipped;
    prompts += size;
    block.begin += static_cast<size_t>(skipped);
    if (skipped > 0 && to_skip == 0 && job.input_hash) output.check_input(job.input_hash(block.begin - 1));
    if (block.begin < block.end) blocks.push_back(block);
  }
  output.check_skipped(to_skip);

  Progress progress(job.title, "responses", prompts * job.samples_per_prompt, progress_output(context), before);
  const double start = monotonic_seconds();
  double written = start;
  std::int64_t responses = 0, tokens = 0;  // sampled by this process
  std::map<std::string, std::int64_t> replaced;
  for (const PromptRange& range : blocks) {
    const PromptBlock block = encode_block(job, conversation_template, range.begin, range.end);
    size_t taken = 0;  // prompts of the block
    Piece piece{.replaced = replaced};
    GenerationProgress last;
    const auto watch = [&](const GenerationProgress& now) {
      last = now;
      const double clock = monotonic_seconds();
      if (alone && clock - written >= seconds_between_appends) {
        take_prompts(job, block, now.first, taken, piece);
        piece.write(output);
        written = clock;
      }
      progress.update(before + responses + now.done,
                      fmt::format("{:.0f} tok/s", static_cast<double>(tokens + now.tokens) / (clock - start)));
      return !stop_requested();
    };
    const std::vector<GenerationResult> results =
        generate(job.model.transformer, job.model.tokenizer, block.encoded, settings, watch);
    const bool whole = results.size() == block.encoded.size();
    if (whole || alone) take_prompts(job, block, results, taken, piece);
    piece.write(output);
    responses += last.done;
    tokens += last.tokens;
    if (!whole || stop_requested()) return Outcome::stopped;
  }
  progress.finish();
  if (!replaced.empty())
    context.log->warn("keys of the input that gave way to the answers' own: " + describe_unobeyed(replaced));
  tell_throughput(context, responses, tokens, monotonic_seconds() - start, job.title);
  return Outcome::done;
}

Json response_json(const Json& input, const GenerationResult& result) {
  Json line = input;
  line["response"] = result.response;
  line["token_ids"] = result.ids;
  line["logprob"] = result.logprob;
  line["finish"] = result.stopped ? "stop" : "length";
  return line;
}

std::vector<std::string> replaced_keys(const Json& input, std::span<const std::string_view> written) {
  const auto has = [&](std::string_view key) { return input.contains(key) && !input[key].is_null(); };
  if (has("token_ids") && has("logprob") && has("finish")) return {};
  std::vector<std::string> replaced;
  for (const std::string_view key : written) {
    if (has(key)) replaced.emplace_back(key);
  }
  return replaced;
}

SampledPrompt answered(const Prompt& prompt, std::span<const GenerationResult> results) {
  SampledPrompt sampled{.sampled = std::ssize(results), .replaced = replaced_keys(prompt.json, response_keys_written)};
  for (const GenerationResult& result : results) {
    sampled.lines += dump_json(response_json(prompt.json, result)) + "\n";
    sampled.unfinished += result.stopped ? 0 : 1;
  }
  return sampled;
}

}  // namespace steerlm
