// Sampling and labelling on a GPU against the CPU: the same seed draws from the same numbers.
#include <ATen/ops/equal.h>
#include <gtest/gtest.h>

#include "infer/small_model.h"
#include "steerlm/core/rng.h"
#include "steerlm/infer/generate.h"
#include "steerlm/infer/label_decoder.h"
#include "steerlm/infer/score.h"
#include "steerlm/nn/flat_parameters.h"
#include "steerlm/nn/kv_cache.h"
#include "support/gpu.h"

namespace steerlm {
namespace {

class CudaGenerate : public testing::Test {
 protected:
  void SetUp() override { STEERLM_SKIP_WITHOUT_GPU(); }
  // Head widths are multiples of 8 on a GPU.
  CudaGenerate()
      : tokenizer(Tokenizer::load(tokenizer_file)), on_cpu(small_model(tokenizer.vocab_size(), [](ModelConfig& c) {
          c.head_dim = 16;
          c.max_position_embeddings = 256;
        })) {}
  Transformer on_gpu(at::ScalarType dtype) const {
    return {on_cpu.config, flatten(on_cpu.weights, dtype, at::Device(at::kCUDA, 0)).views};
  }
  std::vector<std::int32_t> ids(std::uint64_t index, size_t length) const {
    Rng rng(9, "prompt", index);
    std::vector<std::int32_t> result;
    for (size_t i = 0; i < length; ++i)
      result.push_back(
          static_cast<std::int32_t>(3 + rng.below(static_cast<std::uint64_t>(tokenizer.vocab_size() - 3))));
    return result;
  }
  // More requests than slots, of different lengths, so that slots are filled again while others go on.
  std::vector<GenerationRequest> requests() const {
    std::vector<GenerationRequest> result;
    for (std::uint64_t r = 0; r < 21; ++r) result.push_back({ids(r, 3 + r * 7 % 40), r});
    return result;
  }

  Tokenizer tokenizer;
  Transformer on_cpu;
};

TEST_F(CudaGenerate, DrawsTheTokensOfTheCpu) {
  for (const double temperature : {0.0, 0.8}) {
    GenerationSettings settings;
    settings.sampling = {.top_k = 40, .temperature = temperature, .top_p = 0.95, .max_new_tokens = 50};
    settings.seed = 5;
    settings.slots = 8;
    // Responses that end early, which the host learns a step late.
    const auto without_end = generate(on_cpu, tokenizer, requests(), settings, {});
    settings.eos_ids = {without_end[0].ids[0], without_end[3].ids[4], without_end[5].ids[20]};
    const auto wanted = generate(on_cpu, tokenizer, requests(), settings, {});
    const auto found = generate(on_gpu(at::kFloat), tokenizer, requests(), settings, {});
    ASSERT_EQ(found.size(), wanted.size());
    size_t equal = 0;
    for (size_t r = 0; r < found.size(); ++r) {
      equal += found[r].ids == wanted[r].ids;
      if (found[r].ids == wanted[r].ids) {
        EXPECT_NEAR(found[r].logprob, wanted[r].logprob, 2e-3) << r;
      }
    }
    // A draw within a rounding of two tokens' border, or two logits within one, may fall on the other side.
    EXPECT_GE(equal, found.size() - 3) << "temperature " << temperature;
  }
}

TEST_F(CudaGenerate, TwiceTheSame) {
  GenerationSettings settings;
  settings.sampling = {.top_k = 0, .temperature = 1, .top_p = 0.9, .max_new_tokens = 60};
  settings.slots = 8;
  const Transformer model = on_gpu(at::kBFloat16);
  const auto first = generate(model, tokenizer, requests(), settings, {}),
             again = generate(model, tokenizer, requests(), settings, {});
  for (size_t r = 0; r < first.size(); ++r) {
    EXPECT_EQ(first[r].ids, again[r].ids) << r;
    EXPECT_EQ(first[r].logprob, again[r].logprob) << r;
  }
}

TEST_F(CudaGenerate, APromptInPartsGivesTheHiddenStateOfTheWhole) {
  const Transformer model = on_gpu(at::kFloat);
  const std::vector<std::int32_t> text = ids(3, 60);
  KvCache cache = make_kv_cache(model, 4, 80);
  const auto read = [&](std::int64_t slot, size_t begin, size_t end) {
    const SlotPrompt part{slot, std::span(text).subspan(begin, end - begin)};
    return prefill(model, cache, std::span(&part, 1));
  };
  const at::Tensor whole = read(0, 0, 60);
  read(2, 0, 11);
  read(2, 11, 12);
  EXPECT_LE(whole.sub(read(2, 12, 60)).abs().max().item<double>(), 2e-5);
  EXPECT_EQ(cache.lengths[2], 60);
}

TEST_F(CudaGenerate, LabelsAndLogProbabilitiesAreThoseOfTheCpu) {
  const Attributes attributes{.names = {"quality", "humor"}, .min = 0, .max = 4};
  std::vector<std::vector<std::int32_t>> prefixes;
  std::vector<Example> examples;
  for (std::uint64_t r = 0; r < 11; ++r) {
    prefixes.push_back(ids(r, 5 + r * 11 % 60));
    examples.push_back({prefixes.back(), std::vector<std::uint8_t>(prefixes.back().size(), 1), {}});
  }
  const Transformer model = on_gpu(at::kFloat);
  const auto wanted = decode_labels(on_cpu, tokenizer, attributes, prefixes, 8),
             found = decode_labels(model, tokenizer, attributes, prefixes, 8);
  for (size_t r = 0; r < found.size(); ++r) {
    for (size_t a = 0; a < attributes.names.size(); ++a)
      EXPECT_NEAR(found[r].expected[a], wanted[r].expected[a], 1e-3f);
  }
  const auto on_host = token_log_probabilities(on_cpu, examples, 64),
             scored = token_log_probabilities(model, examples, 64);
  for (size_t r = 0; r < scored.size(); ++r) {
    ASSERT_EQ(scored[r].size(), on_host[r].size());
    for (size_t i = 0; i < scored[r].size(); ++i) EXPECT_NEAR(scored[r][i], on_host[r][i], 1e-4) << r << ", " << i;
  }
}

}  // namespace
}  // namespace steerlm
