// One response as it grows, token by token: what generate() and ChatSession share.
#pragma once

#include "steerlm/infer/generate.h"
#include "steerlm/kernels/sampling.h"

namespace steerlm {

// Logits (r, v) in fp32 of hidden states (r, d). Where the bits of a row depend on their number, a row of few is
// computed as one of min_slots equal rows, so that the product rounds as it does in the steps that follow.
at::Tensor response_logits(const Transformer& model, const at::Tensor& hidden_rd);

// The random number in [0, 1) that draws token number `index` of response number `sample`.
double draw_of(const GenerationSettings& settings, std::uint64_t sample, size_t index);

// One token of each row of logits, by a draw a row, on the host.
struct HostTokens {
  std::vector<std::int32_t> ids;
  std::vector<double> logprobs;
};
// Together in one tensor, since each read waits for the device: (2, r) fp64, log-probabilities and ids, which are exact
// in it.
at::Tensor in_one_tensor(const SampledTokens& drawn);
HostTokens from_one_tensor(const at::Tensor& on_host_2r);
HostTokens sample_rows(const at::Tensor& logits_rv, const std::vector<double>& uniform,
                       const GenerationSettings& settings);

// Appends a drawn token to `result`; true when an id or the stop text has ended it. Throws model where the logits were
// not finite.
bool append_token(const Tokenizer& tokenizer, const GenerationSettings& settings, const SampledToken& token,
                  GenerationResult& result);

// The text of what was sampled, without what ends it: the stop text and the line end before it, or the last id if it is
// one of eos_ids.
std::string response_text(const Tokenizer& tokenizer, std::span<const std::int32_t> ids,
                          const GenerationSettings& settings);

// How many bytes of `text`, the response so far without an end, stay whatever is sampled next: up to what may be the
// start of the stop text or of the line end before it, and up to U+FFFD, which may be bytes of a character that is not
// whole yet.
size_t settled_length(std::string_view text, std::string_view stop_text);

}  // namespace steerlm
