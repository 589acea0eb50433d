// Generation with the cache against the model without one, and samples that must not depend on their neighbours.
#include "steerlm/infer/generate.h"
#include "support/batches.h"

#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <set>

#include "infer/generate_ahead.h"
#include "infer/small_model.h"
#include "steerlm/core/rng.h"
#include "steerlm/kernels/sampling.h"
#include "steerlm/nn/kv_cache.h"

namespace steerlm {
namespace {

std::vector<std::int32_t> prompt(std::uint64_t index, size_t length, std::int64_t vocab_size) {
  Rng rng(9, "prompt", index);
  std::vector<std::int32_t> ids;
  for (size_t i = 0; i < length; ++i)
    ids.push_back(static_cast<std::int32_t>(3 + rng.below(static_cast<std::uint64_t>(vocab_size - 3))));
  return ids;
}

struct Architecture {
  const char* name;
  void (*edit)(ModelConfig&);
};

class GenerateOf : public testing::TestWithParam<Architecture> {};

TEST_P(GenerateOf, GreedyWithCacheEqualsTheModelWithoutOne) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  const Transformer model = small_model(tokenizer.vocab_size(), GetParam().edit);
  GenerationSettings settings;
  settings.sampling = {.top_k = 0, .temperature = 0, .top_p = 1, .max_new_tokens = 40};
  const std::vector<GenerationRequest> requests{{prompt(0, 5, tokenizer.vocab_size()), 0},
                                                {prompt(1, 17, tokenizer.vocab_size()), 1}};
  const auto results = generate(model, tokenizer, requests, settings, {});
  for (size_t r = 0; r < requests.size(); ++r) {
    std::vector<std::int64_t> ids(requests[r].prompt.begin(), requests[r].prompt.end());
    double logprob = 0;
    ASSERT_EQ(results[r].ids.size(), 40u);
    for (std::int32_t generated : results[r].ids) {
      const at::Tensor hidden =
          trunk_forward(model, pack_tokens(model, ids, {0, static_cast<std::int64_t>(ids.size())}), nullptr);
      const at::Tensor logits = at::mm(hidden.slice(0, -1), model.weights.output_vd().t()).contiguous();
      const SampledToken token =
          sample_token({logits.const_data_ptr<float>(), static_cast<size_t>(logits.size(1))}, 0, 0, 1, 0);
      ASSERT_EQ(generated, token.id) << "request " << r << ", position " << ids.size();
      logprob += token.logprob;
      ids.push_back(token.id);
    }
    EXPECT_NEAR(results[r].logprob, logprob, 1e-3);
    EXPECT_FALSE(results[r].stopped);
  }
}

// Token i of sample s is drawn by number i of the stream (seed, "sample s"), whatever slots there are: what a seed
// means does not change from one version to the next.
TEST_P(GenerateOf, DrawsByTheNumbersOfSeedAndSample) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  const Transformer model = small_model(tokenizer.vocab_size(), GetParam().edit);
  GenerationSettings settings;
  settings.sampling = {.top_k = 30, .temperature = 0.9, .top_p = 0.95, .max_new_tokens = 12};
  settings.seed = 77;
  const std::vector<GenerationRequest> requests{{prompt(0, 9, tokenizer.vocab_size()), 3},
                                                {prompt(1, 20, tokenizer.vocab_size()), 11}};
  const auto results = generate(model, tokenizer, requests, settings, {});
  for (size_t r = 0; r < requests.size(); ++r) {
    std::vector<std::int64_t> ids(requests[r].prompt.begin(), requests[r].prompt.end());
    for (size_t i = 0; i < results[r].ids.size(); ++i) {
      const at::Tensor hidden =
          trunk_forward(model, pack_tokens(model, ids, {0, static_cast<std::int64_t>(ids.size())}), nullptr);
      const at::Tensor logits = at::mm(hidden.slice(0, -1), model.weights.output_vd().t()).contiguous();
      const double uniform = Rng(77, "sample " + std::to_string(requests[r].sample), i).uniform();
      EXPECT_EQ(
          sample_token({logits.const_data_ptr<float>(), static_cast<size_t>(logits.size(1))}, 0.9, 30, 0.95, uniform)
              .id,
          results[r].ids[i])
          << "request " << r << ", token " << i;
      ids.push_back(results[r].ids[i]);
    }
  }
}

// A prompt in two parts, as a conversation grows: the second attends to the cached keys of the first.
TEST_P(GenerateOf, APromptAppendedToACachedOneGivesItsHiddenState) {
  const Transformer model = small_model(400, GetParam().edit);
  const std::vector<std::int32_t> ids = prompt(3, 40, 400);
  KvCache cache = make_kv_cache(model, 6, 64);
  const at::Tensor whole = prefill(model, cache, 2, ids);
  prefill(model, cache, 5, std::vector(ids.begin(), ids.begin() + 11));
  prefill(model, cache, 5, std::vector(ids.begin() + 11, ids.begin() + 12));
  const at::Tensor parts = prefill(model, cache, 5, std::vector(ids.begin() + 12, ids.end()));
  EXPECT_EQ(cache.lengths[5], 40);
  EXPECT_LE(whole.sub(parts).abs().max().item<double>(), 2e-5);
  EXPECT_GT(whole.abs().max().item<double>(), 0.5);
}

INSTANTIATE_TEST_SUITE_P(
    Architectures, GenerateOf,
    testing::Values(Architecture{"plain", [](ModelConfig&) {}},
                    Architecture{"windows",
                                 [](ModelConfig& c) {
                                   c.windows = {6, 0};
                                 }},
                    Architecture{"biases_and_norms",
                                 [](ModelConfig& c) { c.qkv_bias = c.o_bias = c.mlp_bias = c.qk_norm = true; }},
                    Architecture{"yarn",
                                 [](ModelConfig& c) {
                                   c.max_position_embeddings = 16;
                                   c.rope_scaling = {
                                       .kind = RopeKind::yarn, .factor = 4, .original_max_position_embeddings = 16};
                                 }}),
    [](const auto& tested) { return tested.param.name; });

TEST(Generate, ASampleDoesNotDependOnItsNeighbours) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  Transformer model = small_model(tokenizer.vocab_size());
  GenerationSettings settings;
  settings.sampling = {.top_k = 50, .temperature = 1, .top_p = 0.95, .max_new_tokens = 20};
  settings.seed = 3;
  std::vector<GenerationRequest> requests;
  for (std::uint64_t i = 0; i < 40; ++i) requests.push_back({prompt(i, 3 + i % 11, tokenizer.vocab_size()), i});
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    for_each_parameter(model.weights, [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(dtype); });
    const auto together = generate(model, tokenizer, requests, settings, {});
    for (size_t i : {size_t{0}, size_t{17}, size_t{39}}) {
      const auto alone = generate(model, tokenizer, std::span(&requests[i], 1), settings, {});
      EXPECT_EQ(alone[0].ids, together[i].ids) << dtype;
      EXPECT_EQ(alone[0].logprob, together[i].logprob) << dtype;
    }
    EXPECT_NE(together[0].ids, together[11].ids) << dtype;
  }
}

// What a GPU does: the next steps are given to it before the host knows that a response has ended.
TEST(Generate, TokensThatAreReadLateAreTheSame) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  const Transformer model = small_model(tokenizer.vocab_size());
  GenerationSettings settings;
  settings.sampling = {.top_k = 12, .temperature = 0.7, .top_p = 0.95, .max_new_tokens = 25};
  settings.slots = 3;
  std::vector<GenerationRequest> requests;
  for (std::uint64_t i = 0; i < 20; ++i) requests.push_back({prompt(i, 3 + i * 17 % 60, tokenizer.vocab_size()), i});
  const auto without_end = generate_ahead(model, tokenizer, requests, settings, 0, {});
  for (const size_t position : {0, 1, 9}) settings.eos_ids.push_back(without_end[4].ids[position]);
  const auto wanted = generate_ahead(model, tokenizer, requests, settings, 0, {});
  std::set<size_t> lengths;
  for (const GenerationResult& result : wanted) lengths.insert(result.ids.size());
  ASSERT_GE(lengths.size(), 5u) << "responses that end at the first token, by an id, by the context and by the limit";
  ASSERT_TRUE(lengths.contains(1));
  ASSERT_TRUE(lengths.contains(25));
  for (const size_t steps_ahead : {1, 4}) {
    std::int64_t tokens = 0, done = 0;
    const auto found =
        generate_ahead(model, tokenizer, requests, settings, steps_ahead, [&](const GenerationProgress& now) {
          done = now.done;
          tokens = now.tokens;
          return true;
        });
    std::int64_t sum = 0;
    for (size_t r = 0; r < wanted.size(); ++r) {
      EXPECT_EQ(found[r].ids, wanted[r].ids) << r;
      EXPECT_EQ(found[r].logprob, wanted[r].logprob) << r;
      EXPECT_EQ(found[r].stopped, wanted[r].stopped) << r;
      EXPECT_EQ(found[r].response, wanted[r].response) << r;
      sum += static_cast<std::int64_t>(wanted[r].ids.size());
    }
    EXPECT_EQ(done, 20);
    EXPECT_EQ(tokens, sum) << "what was drawn after an end is no token of a response";
  }
}

// What is there when it is stopped is what it would have been, and the rest can be sampled alone.
TEST(Generate, StoppedItGivesTheFirstResponsesAndGoesOnWithTheSameOnes) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  const Transformer model = small_model(tokenizer.vocab_size());
  GenerationSettings settings;
  settings.sampling = {.top_k = 0, .temperature = 1, .top_p = 1, .max_new_tokens = 25};
  settings.slots = 3;
  for (std::int32_t id = 3; id < 20; ++id) settings.eos_ids.push_back(id);
  std::vector<GenerationRequest> requests;
  for (std::uint64_t i = 0; i < 12; ++i) requests.push_back({prompt(i, 4 + i, tokenizer.vocab_size()), i});
  const auto wanted = generate(model, tokenizer, requests, settings);
  std::int64_t most_done = 0;
  std::vector<GenerationResult> found =
      generate(model, tokenizer, requests, settings, [&](const GenerationProgress& now) {
        most_done = now.done;
        return now.first.size() < 4;
      });
  ASSERT_GE(found.size(), 4u);
  ASSERT_LT(found.size(), 12u);
  EXPECT_GE(most_done, std::ssize(found));
  const auto rest = generate(model, tokenizer, std::span(requests).subspan(found.size()), settings);
  found.insert(found.end(), rest.begin(), rest.end());
  for (size_t r = 0; r < wanted.size(); ++r) {
    EXPECT_EQ(found[r].ids, wanted[r].ids) << r;
    EXPECT_EQ(found[r].logprob, wanted[r].logprob) << r;
    EXPECT_EQ(found[r].response, wanted[r].response) << r;
  }
}

TEST(Generate, StopsAtEosAndAtTheEndOfTheContext) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  const Transformer model = small_model(tokenizer.vocab_size());
  GenerationSettings settings;
  settings.sampling = {.top_k = 0, .temperature = 0, .top_p = 1, .max_new_tokens = 1000};
  const std::vector<GenerationRequest> requests{{prompt(2, 10, tokenizer.vocab_size()), 0}};
  const auto to_the_end = generate(model, tokenizer, requests, settings, {});
  EXPECT_EQ(to_the_end[0].ids.size(), 54u);  // 64 of context less 10 of prompt
  settings.eos_ids = {to_the_end[0].ids[7]};
  const auto stopped = generate(model, tokenizer, requests, settings, {});
  EXPECT_TRUE(stopped[0].stopped);
  EXPECT_EQ(stopped[0].ids.back(), settings.eos_ids[0]);
  const std::span<const std::int32_t> before_eos = std::span(stopped[0].ids).first(stopped[0].ids.size() - 1);
  EXPECT_EQ(stopped[0].response, tokenizer.decode_continuation(before_eos))
      << "an EOS that is an ordinary piece is no text";
  EXPECT_LE(stopped[0].ids.size(), 8u);
}

TEST(Generate, PromptLongerThanTheContextIsRefused) {
  const Tokenizer tokenizer = Tokenizer::load(tokenizer_file);
  const Transformer model = small_model(tokenizer.vocab_size());
  const std::vector<GenerationRequest> requests{{prompt(0, 64, tokenizer.vocab_size()), 0, "a.jsonl:7"}};
  try {
    generate(model, tokenizer, requests, {}, {});
    FAIL() << "was accepted";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::data);
    EXPECT_STREQ(error.what(),
                 "a.jsonl:7: the prompt is longer than the model's context (found 64 tokens, expected fewer than 64)");
  }
}

}  // namespace
}  // namespace steerlm
