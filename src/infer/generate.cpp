#include "steerlm/infer/generate.h"

#include <ATen/Parallel.h>

#include <algorithm>
#include <deque>

#include "infer/decoder.h"
#include "infer/generate_ahead.h"
#include "infer/response.h"
#include "steerlm/core/error.h"
#include "steerlm/kernels/device.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

constexpr std::int64_t idle = -1;

// Tokens that the device was told to draw: a row each, for the slot and the request that the row was of; idle: for
// none.
struct Drawn {
  std::vector<std::int64_t> slots, requests;
  DrawnTokens tokens;
};

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
                                       const GenerationWatch& watch) {
  return generate_ahead(model, tokenizer, requests, settings, model.device().is_cuda() ? 1 : 0, watch);
}

std::vector<GenerationResult> generate_ahead(const Transformer& model, const Tokenizer& tokenizer,
                                             std::span<const GenerationRequest> requests,
                                             const GenerationSettings& settings, size_t steps_ahead,
                                             const GenerationWatch& watch) {
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
  const size_t rows = cache.lengths.size();
  Decoder decoder(model, cache, settings);
  std::vector<GenerationResult> results(requests.size());
  std::vector<std::int64_t> request_of(rows, idle);
  std::vector<std::int64_t> draws(rows, 0);  // of the slot's request, those that are not read yet included
  std::deque<Drawn> unread;
  size_t next_request = 0, first_open = 0;  // all requests before first_open are done
  std::vector<std::uint8_t> is_done(requests.size(), 0);
  std::int64_t done = 0, sampled_tokens = 0;

  const auto most_tokens = [&](const GenerationRequest& request) {
    return std::min(settings.sampling.max_new_tokens, context - static_cast<std::int64_t>(request.prompt.size()));
  };
  const auto next_draw = [&](std::int64_t slot) {
    return draw_of(settings, requests[request_of[slot]].sample, static_cast<size_t>(draws[slot]++));
  };
  // False: no slot is idle, or no request is left.
  const auto fill_slots = [&] {
    std::vector<SlotPrompt> prompts;
    std::vector<std::int64_t> filled, of;
    std::vector<double> uniform;
    for (std::int64_t slot = 0; slot < slots && next_request < requests.size(); ++slot) {
      if (request_of[slot] != idle) continue;
      request_of[slot] = static_cast<std::int64_t>(next_request++);
      draws[slot] = 0;
      prompts.push_back({slot, requests[request_of[slot]].prompt});
      filled.push_back(slot);
      of.push_back(request_of[slot]);
      uniform.push_back(next_draw(slot));
    }
    if (prompts.empty()) return false;
    unread.push_back({filled, of, decoder.prefill(prompts, uniform)});
    return true;
  };
  // False: no slot has a response that may grow.
  const auto step = [&] {
    std::vector<bool> active(rows, false);
    std::vector<std::int64_t> stepped(rows, idle);
    std::vector<double> uniform(rows, -1);
    for (std::int64_t slot = 0; slot < slots; ++slot) {
      active[slot] = request_of[slot] != idle && draws[slot] < most_tokens(requests[request_of[slot]]);
      if (!active[slot]) continue;
      stepped[slot] = slot;
      uniform[slot] = next_draw(slot);
    }
    if (std::ranges::find(active, true) == active.end()) return false;
    unread.push_back({stepped, request_of, decoder.step(active, uniform)});
    return true;
  };
  // The oldest tokens that were drawn, on the host. What was drawn after the end of a response is nobody's.
  const auto read = [&] {
    Drawn drawn = std::move(unread.front());
    unread.pop_front();
    const HostTokens tokens = drawn.tokens.wait();
    std::vector<std::uint8_t> ended(drawn.slots.size(), 0);
    at::parallel_for(0, static_cast<std::int64_t>(ended.size()), 4, [&](std::int64_t begin, std::int64_t end) {
      for (std::int64_t row = begin; row < end; ++row) {
        const std::int64_t slot = drawn.slots[row], request = drawn.requests[row];
        if (slot == idle || request_of[slot] != request) continue;
        GenerationResult& result = results[request];
        const bool stopped = append_token(tokenizer, settings, {tokens.ids[row], tokens.logprobs[row]}, result);
        ended[row] = stopped || static_cast<std::int64_t>(result.ids.size()) >= most_tokens(requests[request]);
      }
    });
    for (size_t row = 0; row < ended.size(); ++row) {
      if (!ended[row]) continue;
      GenerationResult& result = results[drawn.requests[row]];
      result.response = response_text(tokenizer, result.ids, settings);
      sampled_tokens += static_cast<std::int64_t>(result.ids.size());
      request_of[drawn.slots[row]] = idle;
      cache.lengths[drawn.slots[row]] = 0;
      is_done[static_cast<size_t>(drawn.requests[row])] = 1;
      ++done;
    }
    while (first_open < is_done.size() && is_done[first_open] != 0) ++first_open;
  };

  for (;;) {
    if (fill_slots() || step()) {
      while (unread.size() > steps_ahead) read();
    } else if (!unread.empty()) {
      read();
    } else {
      return results;
    }
    if (watch && !watch({std::span(results).first(first_open), done, sampled_tokens})) {
      results.resize(first_open);
      return results;
    }
  }
}

}  // namespace steerlm
