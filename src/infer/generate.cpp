#include "steerlm/infer/generate.h"

#include <ATen/Parallel.h>
#include <ATen/ops/mm.h>

#include <algorithm>

#include "steerlm/core/error.h"
#include "steerlm/core/rng.h"
#include "steerlm/kernels/linear.h"
#include "steerlm/kernels/sampling.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

constexpr std::int64_t idle = -1;

// Whether the text of the last tokens holds the stop text. Every token but a control piece has at least one byte, and the new token
// may end anywhere in the stop text, so a tail of its length and a few more tokens is enough.
bool ends_in_stop_text(const Tokenizer& tokenizer, const std::vector<std::int32_t>& ids, const std::string& stop_text) {
  if (stop_text.empty()) return false;
  const size_t tail = std::min(ids.size(), stop_text.size() + 8);
  return tokenizer.decode_continuation(std::span(ids).last(tail)).find(stop_text) != std::string::npos;
}

std::string response_text(const Tokenizer& tokenizer, const GenerationResult& result, const GenerationSettings& settings) {
  std::span<const std::int32_t> ids = result.ids;
  if (!settings.stop_text.empty()) {  // first, as <extra_id_1> may be a piece that is one of the ids
    std::string text = tokenizer.decode_continuation(ids);
    if (const size_t marker = text.find(settings.stop_text); marker != std::string::npos) {
      text.resize(marker);
      if (text.ends_with('\n')) text.pop_back();
      return text;
    }
  }
  if (!ids.empty() && std::ranges::find(settings.eos_ids, ids.back()) != settings.eos_ids.end()) ids = ids.first(ids.size() - 1);
  return tokenizer.decode_continuation(ids);
}

}  // namespace

std::vector<GenerationResult> generate(const Transformer& model, const Tokenizer& tokenizer, std::span<const GenerationRequest> requests,
                                       const GenerationSettings& settings,
                                       const std::function<void(std::int64_t done, std::int64_t tokens)>& progress) {
  const std::int64_t context = model.config.context_length();
  std::int64_t capacity = 1;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::int64_t length = static_cast<std::int64_t>(requests[i].prompt.size());
    if (length >= context) {
      fail(ExitCode::data, {.what = "the prompt is longer than the model's context",
                            .where = requests[i].place,
                            .found = std::to_string(length) + " tokens",
                            .expected = "fewer than " + std::to_string(context)});
    }
    capacity = std::max(capacity, std::min(context, length + settings.sampling.max_new_tokens));
  }
  const std::int64_t slots = std::max(min_slots, std::min<std::int64_t>(settings.slots, static_cast<std::int64_t>(requests.size())));
  KvCache cache = make_kv_cache(model, slots, capacity);
  std::vector<GenerationResult> results(requests.size());
  std::vector<std::int64_t> request_of(static_cast<size_t>(slots), idle);
  std::vector<std::int32_t> next_ids(static_cast<size_t>(slots), 0);
  size_t next_request = 0;
  std::int64_t done = 0, sampled_tokens = 0;

  // Samples the next token of a slot; true when its response has ended.
  const auto sample = [&](std::int64_t slot, std::span<const float> logits) {
    const GenerationRequest& request = requests[request_of[slot]];
    GenerationResult& result = results[request_of[slot]];
    Rng rng(settings.seed, "sample " + std::to_string(request.sample), result.ids.size());
    const SampledToken token =
        sample_token(logits, settings.sampling.temperature, settings.sampling.top_k, settings.sampling.top_p, rng.uniform());
    result.ids.push_back(token.id);
    result.logprob += token.logprob;
    next_ids[slot] = token.id;
    result.stopped = std::ranges::find(settings.eos_ids, token.id) != settings.eos_ids.end() ||
                     ends_in_stop_text(tokenizer, result.ids, settings.stop_text);
    const std::int64_t length = static_cast<std::int64_t>(request.prompt.size() + result.ids.size());
    return result.stopped || static_cast<std::int64_t>(result.ids.size()) >= settings.sampling.max_new_tokens || length >= context;
  };
  const auto finish = [&](std::int64_t slot) {
    GenerationResult& result = results[request_of[slot]];
    result.response = response_text(tokenizer, result, settings);
    sampled_tokens += static_cast<std::int64_t>(result.ids.size());
    request_of[slot] = idle;
    cache.lengths[slot] = 0;
    if (progress) progress(++done, sampled_tokens);
  };
  const auto logits_of = [&](const at::Tensor& hidden_rd) {
    return linear_forward(hidden_rd, model.weights.output_vd()).to(at::kFloat).contiguous();
  };

  for (;;) {
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      while (request_of[slot] == idle && next_request < requests.size()) {
        request_of[slot] = static_cast<std::int64_t>(next_request++);
        const at::Tensor hidden_1d = prefill(model, cache, slot, requests[request_of[slot]].prompt);
        // Eight equal rows: the product rounds as it does in the steps that follow.
        const at::Tensor logits = logits_of(hidden_1d.expand({min_slots, -1}).contiguous());
        if (sample(slot, {logits.const_data_ptr<float>(), static_cast<size_t>(logits.size(1))})) finish(slot);
      }
    }
    std::vector<bool> active(static_cast<size_t>(slots));
    for (std::int64_t slot = 0; slot < slots; ++slot) active[slot] = request_of[slot] != idle;
    if (std::ranges::find(active, true) == active.end()) return results;

    const at::Tensor logits_rv = logits_of(decode_step(model, cache, next_ids, active));
    const std::int64_t v = logits_rv.size(1);
    std::vector<std::uint8_t> ended(static_cast<size_t>(slots), 0);
    at::parallel_for(0, slots, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t slot = begin; slot < end; ++slot) {
        if (active[slot]) ended[slot] = sample(slot, {logits_rv.const_data_ptr<float>() + slot * v, static_cast<size_t>(v)});
      }
    });
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      if (ended[slot]) finish(slot);
    }
  }
}

}  // namespace steerlm
