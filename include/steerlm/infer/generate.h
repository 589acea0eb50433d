// Sampling many responses at once: slots that take the next prompt as soon as a response ends.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "steerlm/infer/options.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/text/tokenizer.h"

namespace steerlm {

struct GenerationRequest {
  std::vector<std::int32_t> prompt;
  // Key of its random numbers. On a CPU the same (seed, sample) gives the same response whatever else runs; on a GPU
  // the same requests together do.
  std::uint64_t sample = 0;
  std::string place{};  // where the prompt stands, for messages: file:line
};

struct GenerationSettings {
  SamplingOptions sampling;
  std::uint64_t seed = 0;
  std::vector<std::int32_t>
      eos_ids;             // EOS, and the piece that ends a turn: each ends a response and is no part of its text
  std::string stop_text;   // the turn marker; empty: only ids stop
  std::int64_t slots = 0;  // sequences at once; 0: 32 on a CPU, on a GPU up to 128 as its memory allows
};

struct GenerationResult {
  std::string response;           // without the marker and the line end before it
  std::vector<std::int32_t> ids;  // all that was sampled
  double logprob = 0;             // natural log, of the model's own distribution (temperature 1), summed over ids
  bool stopped = false;           // false: max_new_tokens or the context was reached
};

// Results in the order of the requests. A prompt longer than the model's context throws data, naming its place.
// `progress` is called after each response with the number of responses and of sampled tokens so far.
std::vector<GenerationResult> generate(const Transformer& model, const Tokenizer& tokenizer,
                                       std::span<const GenerationRequest> requests, const GenerationSettings& settings,
                                       const std::function<void(std::int64_t done, std::int64_t tokens)>& progress);

}  // namespace steerlm
