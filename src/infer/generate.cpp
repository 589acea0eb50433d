#include "steerlm/infer/generate.h"

#include <ATen/Parallel.h>

#include <algorithm>

#include "infer/decoder.h"
#include "infer/response.h"
#include "steerlm/core/error.h"
#include "steerlm/kernels/device.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

constexpr std::int64_t idle = -1;

// A step of a GPU reads all weights for however many slots; what bounds them is the cache, which gets up to 40 % of the
// card, less where the weights leave less.
std::int64_t usual_slots(const Transformer& model, std::int64_t capacity) {
  if (!model.device().is_cuda()) return 32;
  const ModelConfig& c = model.config;
  const std::int64_t size = model.weights.embedding_vd.element_size();
  const std::int64_t slot_bytes = 2 * c.num_hidden_layers * c.num_key_value_heads * capacity * c.head_dim * size;
  std::int64_t weights = 0;
  for_each_parameter(model.weights,
                     [&](const std::string&, const at::Tensor& tensor) { weights += tensor.numel() * size; });
  const std::int64_t card = cuda_cards().cards.at(static_cast<size_t>(model.device().index())).total_bytes;
  const std::int64_t bytes = std::min(card / 10 * 4, card / 10 * 9 - weights);
  return std::clamp<std::int64_t>(bytes / slot_bytes, 1, 128);
}

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
  const std::int64_t slots = std::max<std::int64_t>(
      1, std::min<std::int64_t>(settings.slots > 0 ? settings.slots : usual_slots(model, capacity),
                                static_cast<std::int64_t>(requests.size())));
  KvCache cache = make_kv_cache(model, slots, capacity);
  Decoder decoder(model, cache, settings);
  std::vector<GenerationResult> results(requests.size());
  std::vector<std::int64_t> request_of(static_cast<size_t>(slots), idle);
  std::vector<std::int32_t> next_ids(cache.lengths.size(), 0);
  size_t next_request = 0;
  std::int64_t done = 0, sampled_tokens = 0;

  // Takes the token that was drawn for a slot; true when its response has ended.
  const auto take = [&](std::int64_t slot, std::int32_t id, double logprob) {
    const GenerationRequest& request = requests[request_of[slot]];
    GenerationResult& result = results[request_of[slot]];
    const bool ended = append_token(tokenizer, settings, {id, logprob}, result);
    next_ids[slot] = id;
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
  // The draws of rows, each that of a slot; -1 for a row of none.
  const auto draws = [&](const std::vector<std::int64_t>& slots_of_rows) {
    std::vector<double> uniform(slots_of_rows.size(), -1);
    for (size_t row = 0; row < slots_of_rows.size(); ++row) {
      if (const std::int64_t slot = slots_of_rows[row]; slot != idle)
        uniform[row] = draw_of(settings, requests[request_of[slot]].sample, results[request_of[slot]].ids.size());
    }
    return uniform;
  };
  const auto take_all = [&](const std::vector<std::int64_t>& slots_of_rows, const HostTokens& tokens) {
    std::vector<std::uint8_t> ended(slots_of_rows.size(), 0);
    at::parallel_for(0, static_cast<std::int64_t>(slots_of_rows.size()), 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        if (slots_of_rows[row] != idle) ended[row] = take(slots_of_rows[row], tokens.ids[row], tokens.logprobs[row]);
      }
    });
    for (size_t row = 0; row < slots_of_rows.size(); ++row) {
      if (ended[row]) finish(slots_of_rows[row]);
    }
  };

  for (;;) {
    while (next_request < requests.size() && std::ranges::find(request_of, idle) != request_of.end()) {
      std::vector<SlotPrompt> prompts;
      std::vector<std::int64_t> prompt_slots;
      for (std::int64_t slot = 0; slot < slots && next_request < requests.size(); ++slot) {
        if (request_of[slot] != idle) continue;
        request_of[slot] = static_cast<std::int64_t>(next_request);
        prompts.push_back({slot, requests[next_request++].prompt});
        prompt_slots.push_back(slot);
      }
      const at::Tensor logits_rv = response_logits(model, prefill(model, cache, prompts));
      take_all(prompt_slots, sample_rows(logits_rv, draws(prompt_slots), settings));
    }
    std::vector<bool> active(cache.lengths.size(), false);
    std::vector<std::int64_t> slots_of_rows(cache.lengths.size(), idle);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      active[slot] = request_of[slot] != idle;
      if (active[slot]) slots_of_rows[slot] = slot;
    }
    if (std::ranges::find(active, true) == active.end()) return results;
    take_all(slots_of_rows, decoder.step(next_ids, active, draws(slots_of_rows)));
  }
}

}  // namespace steerlm
