#include "steerlm/infer/generate.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "infer/response.h"
#include "steerlm/core/error.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

constexpr std::int64_t idle = -1;

}  // namespace

std::vector<GenerationResult> generate(const Transformer& model, const Tokenizer& tokenizer,
                                       std::span<const GenerationRequest> requests, const GenerationSettings& settings,
                                       const std::function<void(std::int64_t done, std::int64_t tokens)>& progress) {
  const std::int64_t context = model.config.context_length();
  std::int64_t capacity = 1;
  for (size_t i = 0; i < requests.size(); ++i) {
    const std::int64_t length = static_cast<std::int64_t>(requests[i].prompt.size());
    if (length == 0) {
      fail(ExitCode::data, {.what = "the prompt is empty, and the tokenizer has no BOS that a text would start with",
                            .where = requests[i].place,
                            .advice = "give the model a text to go on from"});
    }
    if (length >= context) {
      fail(ExitCode::data, {.what = "the prompt is longer than the model's context",
                            .where = requests[i].place,
                            .found = std::to_string(length) + " tokens",
                            .expected = "fewer than " + std::to_string(context)});
    }
    capacity = std::max(capacity, std::min(context, length + settings.sampling.max_new_tokens));
  }
  const std::int64_t slots =
      std::max<std::int64_t>(1, std::min<std::int64_t>(settings.slots, static_cast<std::int64_t>(requests.size())));
  KvCache cache = make_kv_cache(model, slots, capacity);
  std::vector<GenerationResult> results(requests.size());
  std::vector<std::int64_t> request_of(static_cast<size_t>(slots), idle);
  std::vector<std::int32_t> next_ids(cache.lengths.size(), 0);
  size_t next_request = 0;
  std::int64_t done = 0, sampled_tokens = 0;

  // Samples the next token of a slot; true when its response has ended.
  const auto sample = [&](std::int64_t slot, std::span<const float> logits) {
    const GenerationRequest& request = requests[request_of[slot]];
    GenerationResult& result = results[request_of[slot]];
    const bool ended = sample_next(tokenizer, settings, request.sample, logits, result);
    next_ids[slot] = result.ids.back();
    const std::int64_t length = static_cast<std::int64_t>(request.prompt.size() + result.ids.size());
    return ended || static_cast<std::int64_t>(result.ids.size()) >= settings.sampling.max_new_tokens ||
           length >= context;
  };
  const auto finish = [&](std::int64_t slot) {
    GenerationResult& result = results[request_of[slot]];
    result.response = response_text(tokenizer, result.ids, settings);
    sampled_tokens += static_cast<std::int64_t>(result.ids.size());
    request_of[slot] = idle;
    cache.lengths[slot] = 0;
    if (progress) progress(++done, sampled_tokens);
  };

  for (;;) {
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      while (request_of[slot] == idle && next_request < requests.size()) {
        request_of[slot] = static_cast<std::int64_t>(next_request++);
        const at::Tensor logits =
            response_logits(model, prefill(model, cache, slot, requests[request_of[slot]].prompt));
        if (sample(slot, {logits.const_data_ptr<float>(), static_cast<size_t>(logits.size(1))})) finish(slot);
      }
    }
    std::vector<bool> active(cache.lengths.size(), false);
    for (std::int64_t slot = 0; slot < slots; ++slot) active[slot] = request_of[slot] != idle;
    if (std::ranges::find(active, true) == active.end()) return results;

    const at::Tensor logits_rv = response_logits(model, decode_step(model, cache, next_ids, active));
    const std::int64_t v = logits_rv.size(1);
    std::vector<std::uint8_t> ended(static_cast<size_t>(slots), 0);
    at::parallel_for(0, slots, 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t slot = begin; slot < end; ++slot) {
        if (active[slot])
          ended[slot] = sample(slot, {logits_rv.const_data_ptr<float>() + slot * v, static_cast<size_t>(v)});
      }
    });
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      if (ended[slot]) finish(slot);
    }
  }
}

}  // namespace steerlm
