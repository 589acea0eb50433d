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

struct GenerationProgress {
  std::span<const GenerationResult> first;  // of the first requests, all of which are done
  std::int64_t done = 0;                    // responses, those behind an unfinished one too
  std::int64_t tokens = 0;                  // sampled for these
};
// Called after each step. False ends the sampling: of the results those that were `first` are left.
using GenerationWatch = std::function<bool(const GenerationProgress&)>;

// Results in the order of the requests. A prompt longer than the model's context throws data, naming its place.
std::vector<GenerationResult> generate(const Transformer& model, const Tokenizer& tokenizer,
                                       std::span<const GenerationRequest> requests, const GenerationSettings& settings,
                                       const GenerationWatch& watch = {});

}  // namespace steerlm
