// generate() as a device computes it that goes on while the host reads.
#pragma once

#include "steerlm/infer/generate.h"

namespace steerlm {

// Reads the tokens of a prefill or a step when `steps_ahead` more have been given to the device, so that it never waits
// for the host. The host learns late that a response has ended, which costs its slot as many steps. The responses are
// the same whatever the number.
std::vector<GenerationResult> generate_ahead(const Transformer& model, const Tokenizer& tokenizer,
                                             std::span<const GenerationRequest> requests,
                                             const GenerationSettings& settings, size_t steps_ahead,
                                             const GenerationWatch& watch);

}  // namespace steerlm
