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
#include "steerlm/infer/generate.h"
#include "steerlm/stages/base_model.h"
#include "steerlm/stages/context.h"

namespace steerlm {

// The label that the dials ask for: the folder's defaults, overridden by `set`. Nothing for a folder without
// attributes. Throws recipe: an unknown name or a value out of range (with the names that exist), any `set` on a folder
// without attributes.
std::optional<Label> dial_label(const Attributes& attributes, const std::map<std::string, std::int64_t>& set,
                                const std::string& folder);

// What ends a response of the model: its EOS ids, and the end of a turn as the template writes it.
GenerationSettings generation_settings(const OpenModel& model, const ConversationTemplate& conversation_template,
                                       const SamplingOptions& sampling, std::uint64_t seed);

// Throws model for a folder without attributes.
void require_dials(const OpenModel& model);

// What the random numbers of a sample are keyed by: it depends on nothing that is sampled beside it.
std::uint64_t sample_key(size_t prompt, std::int64_t samples_per_prompt, std::int64_t sample);

struct SampleRequest {
  const Prompt* prompt;
  std::optional<Label> label;  // of the response; an earlier assistant turn keeps its own, else gets this one
  std::uint64_t key;           // of the random numbers
};

// The requests whose prompt leaves room for an answer in the model's context, in their order.
std::vector<SampleRequest> within_context(const OpenModel& model, std::span<const SampleRequest> requests);

// Throws data for a prompt that leaves no room.
std::vector<GenerationResult> sample_responses(const OpenModel& model, std::span<const SampleRequest> requests,
                                               const SamplingOptions& sampling, std::uint64_t seed,
                                               const std::string& title, const Context& context);

// The output of one block of prompts.
struct SampledBlock {
  std::string lines;
  Json counts = Json::object();
};

// Answers prompts 0 … `prompts` - 1 in blocks, from the first one on that `output` lacks; `answer` is given a block's
// first prompt and the one behind its last. Stopping on request is between blocks.
Outcome sample_blocks(BlockOutput& output, size_t prompts,
                      const std::function<SampledBlock(size_t begin, size_t end)>& answer);

// What the blocks of sampled responses count: {"sampled", "unfinished", "too_long"}; the last two are warned of. Throws
// data where no response has ended.
Json sampled_summary(const BlockOutput& output, const std::string& output_path, const Context& context);

// The input line plus response, token_ids, logprob, finish.
Json response_json(const Json& input, const GenerationResult& result);

}  // namespace steerlm
