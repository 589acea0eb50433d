// One response as it grows, token by token: what generate() and ChatSession share.
#pragma once

#include "steerlm/infer/generate.h"

namespace steerlm {

// Logits (r, v) in fp32 of hidden states (r, d); a single row is computed as one of min_slots equal rows, so that the
// product rounds as it does in the steps that follow.
at::Tensor response_logits(const Transformer& model, const at::Tensor& hidden_rd);

// Samples the next token of response number `sample` and appends it to `result`; true when an id or the stop text has
// ended it.
bool sample_next(const Tokenizer& tokenizer, const GenerationSettings& settings, std::uint64_t sample,
                 std::span<const float> logits, GenerationResult& result);

// The text of what was sampled, without what ends it: the stop text and the line end before it, or the last id if it is
// one of eos_ids.
std::string response_text(const Tokenizer& tokenizer, std::span<const std::int32_t> ids,
                          const GenerationSettings& settings);

// How many bytes of `text`, the response so far without an end, stay whatever is sampled next: up to what may be the
// start of the stop text or of the line end before it, and up to U+FFFD, which may be bytes of a character that is not
// whole yet.
size_t settled_length(std::string_view text, std::string_view stop_text);

}  // namespace steerlm
