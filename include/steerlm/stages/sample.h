// Sampling responses to prompts at given dials: what `generate`, `bootstrap` and the dial sweep of `evaluate` share.
#pragma once

#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "steerlm/data/block_job.h"
#include "steerlm/data/record_reader.h"
#include "steerlm/data/shard.h"
#include "steerlm/infer/generate.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// The label that the dials ask for: the folder's defaults, overridden by `set`. Nothing for a folder without
// attributes. Throws recipe: an unknown name or a value out of range (with the names that exist), any `set` on a folder
// without attributes.
std::optional<Label> dial_label(const Attributes& attributes, const std::map<std::string, std::int64_t>& set,
                                const std::string& folder);

// What ends a response of the model: its EOS ids, and the end of a turn as the template, if there is one, writes it.
GenerationSettings generation_settings(const OpenModel& model,
                                       const std::optional<ConversationTemplate>& conversation_template,
                                       const SamplingOptions& sampling, std::uint64_t seed);

// Throws model for a folder that writes no answers, as far as it says so: a regression head, or what was trained to
// write labels. `key`: of the recipe, or the option, which names it.
void require_language_model(const ModelFolder& folder, const std::string& key);
// Throws model for a folder without attributes.
void require_dials(const ModelFolder& folder);

// What the random numbers of a sample are keyed by: it depends on nothing that is sampled beside it.
std::uint64_t sample_key(size_t prompt, std::int64_t samples_per_prompt, std::int64_t sample);

struct SampleRequest {
  const Prompt* prompt;
  std::optional<Label> label;  // of the response; an earlier assistant turn keeps its own, else gets this one
  std::uint64_t key;           // of the random numbers
};

// `samples` requests of the p-th prompt, all with one label.
std::vector<SampleRequest> requests_of(const Prompt& prompt, size_t p, std::int64_t samples,
                                       const std::optional<Label>& label);

// Why the model cannot answer the request, as SampleJob::no_response is told: an empty text, or one that leaves no room
// in the context; "": it can. No template: the bytes of the last turn alone.
std::string request_fault(const ModelFolder& folder, const Tokenizer& tokenizer,
                          const std::optional<ConversationTemplate>& conversation_template,
                          const SampleRequest& request);

// What one prompt has become.
struct SampledPrompt {
  std::string lines, quarantine;
  std::int64_t sampled = 0;     // responses
  std::int64_t unfinished = 0;  // of these, cut off by max_new_tokens
  std::int64_t too_long = 0;    // responses that were not sampled: the prompt leaves no room for one in the context
  std::int64_t bad = 0;         // 1: the prompt was put aside
  // Keys of the prompt's line that what is written has in another meaning, so that they are lost.
  std::vector<std::string> replaced = {};
};

// Responses to many prompts, written as they come.
struct SampleJob {
  const OpenModel& model;
  bool raw = false;  // the bytes of the last turn without a template; only EOS ends a response
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  std::string title;
  size_t prompts = 0;  // their number
  std::int64_t samples_per_prompt = 1;
  Shard shard;
  // The requests of prompt p, samples_per_prompt of one length.
  std::function<std::vector<SampleRequest>(size_t p)> requests;
  // What is written of the responses to prompt p.
  std::function<SampledPrompt(size_t p, std::span<const SampleRequest> requests,
                              std::span<const GenerationResult> results)>
      lines;
  // The same where there are none, and why: the prompt's own fault, or that it leaves no room for a response.
  std::function<SampledPrompt(size_t p, const std::string& fault)> no_response;
  std::function<std::string(size_t p)> fault = {};  // of prompt p itself, "" where it has none; not given: of none
  std::function<std::uint64_t(size_t p)> input_hash = {};  // Prompt::input_hash of prompt p; not given: of files
};

// Answers the prompts that `output` lacks, and leaves its finish() to the caller, who says too that it was stopped, in
// blocks of sample_block_prompts, of which a shard has every n-th. What is sampled together is of one block. On a CPU
// in fp32, where responses do not depend on what is sampled beside them, the prompts of a block that are done are
// written every second, and a stop costs those that are not; elsewhere a block is written as a whole.
inline constexpr size_t sample_block_prompts = 256;
Outcome sample_prompts(const SampleJob& job, BlockOutput& output, const Context& context);

// What a block of sampled responses counts.
inline const std::vector<std::string> sampled_counts{"sampled", "unfinished", "too_long", "bad"};

// The input line plus response, token_ids, logprob, finish.
Json response_json(const Json& input, const GenerationResult& result);
// Which of the input's keys, of those named, are lost where an answer to it is written under these names. Of a line
// that is an answer itself none is: its keys are those of the former answer.
std::vector<std::string> replaced_keys(const Json& input, std::span<const std::string_view> written);
inline constexpr std::string_view response_keys_written[] = {"response", "token_ids", "logprob", "finish"};
// Such a line for each response to the prompt.
SampledPrompt answered(const Prompt& prompt, std::span<const GenerationResult> results);

}  // namespace steerlm
