// Every family and feature against what Transformers computed on the same weights (tools/make_family_fixtures.py;
// versions in the files): logits, log-probabilities, loss, every gradient, greedy text, classification scores.
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "stages/family.h"
#include "steerlm/data/batch.h"
#include "steerlm/infer/score.h"
#include "steerlm/nn/kv_cache.h"
#include "steerlm/train/losses.h"
#include "support/batches.h"
#include "support/parameters.h"

namespace steerlm {
namespace {

class LanguageModelFamily : public Family {};

TEST_P(LanguageModelFamily, LogitsAndLogProbabilities) {
  size_t whole = 0;
  const auto packed = token_log_probabilities(model, examples, 4096);
  for (size_t s = 0; s < examples.size(); ++s) {
    const Json& wanted = expected.at("sequences").at(s);
    const at::Tensor ours = logits(examples[s].ids);
    if (wanted.contains("last_logits")) {
      ++whole;
      double largest = 0;
      for (size_t v = 0; v < wanted.at("last_logits").size(); ++v) {
        const double value = wanted.at("last_logits")[v].get<double>();
        largest = std::max(largest, std::abs(value));
        EXPECT_NEAR(ours[-1][static_cast<std::int64_t>(v)].item<double>(), value, 1e-4) << "sequence " << s;
      }
      EXPECT_GT(largest, 1) << "the fixture's logits are flat";
    }
    // Every position of every sequence. 96 errors of 1e-4 in random directions add up to about 6e-4.
    for (std::int64_t row = 0; row < ours.size(0); ++row) {
      EXPECT_NEAR(family_projection(seed, "logits", ours[row]),
                  wanted.at("logit_projection")[static_cast<size_t>(row)].get<double>(), 4e-4)
          << "sequence " << s << ", position " << row;
    }
    for (size_t i = 1; i < examples[s].ids.size(); ++i) {
      const double log_p = ours[static_cast<std::int64_t>(i) - 1].log_softmax(0)[examples[s].ids[i]].item<double>();
      EXPECT_NEAR(log_p, wanted.at("logprobs")[i - 1].get<double>(), 1e-4) << "sequence " << s << ", token " << i;
      if (examples[s].target[i] == 0) continue;
      EXPECT_NEAR(packed[s][i], log_p, 1e-4) << "packed, sequence " << s << ", token " << i;
    }
  }
  EXPECT_EQ(whole, 3u);
}

TEST_P(LanguageModelFamily, LossAndEveryGradientOfAPackedBatch) {
  const Json& packed = expected.at("packed");
  const Batch batch = make_batch(pick(examples, packed.at("batch")));
  const double count = target_count(batch);
  EXPECT_EQ(count, packed.at("target_tokens").get<double>());
  Parameters gradients = zeros_like(trained(), at::kFloat);
  const double loss = language_model_gradient(model, batch, 1 / count, gradients) / count;
  EXPECT_NEAR(loss, packed.at("loss").get<double>(), 1e-5 * loss);
  expect_gradients(packed.at("gradients"), gradients);
}

TEST_P(LanguageModelFamily, GreedyTextWithTheCacheAndWithout) {
  for (const Json& wanted : expected.at("greedy")) {
    const auto prompt = wanted.at("prompt").get<std::vector<std::int32_t>>();
    const auto continuation = wanted.at("ids").get<std::vector<std::int32_t>>();
    ASSERT_EQ(continuation.size(), 64u);
    KvCache cache = make_kv_cache(model, 1, static_cast<std::int64_t>(prompt.size() + continuation.size()));
    at::Tensor hidden = prefill(model, cache, 0, prompt);
    std::vector<std::int32_t> ids = prompt;
    std::vector<bool> active(cache.lengths.size(), false);
    active[0] = true;
    for (const std::int32_t next : continuation) {
      const at::Tensor cached = at::mm(hidden.narrow(0, 0, 1), model.weights.output_vd().t());
      EXPECT_EQ(cached.argmax(1).item<std::int64_t>(), next) << "with the cache, position " << ids.size();
      EXPECT_EQ(logits(ids)[-1].argmax(0).item<std::int64_t>(), next) << "without, position " << ids.size();
      std::vector<std::int32_t> step(cache.lengths.size(), 0);
      step[0] = next;
      ids.push_back(next);
      if (ids.size() < prompt.size() + continuation.size()) hidden = decode_step(model, cache, step, active);
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Families, LanguageModelFamily, language_models, family_name);

class AdaptedFamily : public Family {};

TEST_P(AdaptedFamily, MergedWeightsGiveTheSameHiddenStates) {
  const Weights weights = own_weights(folder);
  const Transformer merged{folder.config,
                           parameters_from(folder.config, head_shape(folder, weights), read_weights(folder, weights))};
  for (const Example& example : examples) {
    const PackedTokens tokens = pack_tokens(model, {example.ids.begin(), example.ids.end()},
                                            {0, static_cast<std::int64_t>(example.ids.size())});
    EXPECT_LE(
        trunk_forward(merged, tokens, nullptr).sub(trunk_forward(model, tokens, nullptr)).abs().max().item<double>(),
        1e-4);
  }
  if (!expected.contains("merged")) return;
  size_t compared = 0;
  for_each_parameter(merged.weights, [&](const std::string& name, const at::Tensor& tensor) {
    expect_summary(expected.at("merged").at("parameters").at(name), seed, name, tensor, 1e-6);
    ++compared;
  });
  EXPECT_EQ(compared, expected.at("merged").at("parameters").size());
}

INSTANTIATE_TEST_SUITE_P(Adapters, AdaptedFamily, testing::Values("lora", "lora_score"),
                         [](const auto& tested) { return std::string(tested.param); });

class ClassifierFamily : public Family {};

TEST_P(ClassifierFamily, ScoresLossAndGradients) {
  EXPECT_FALSE(folder.head.bias);
  Json all = Json::array();
  for (size_t i = 0; i < examples.size(); ++i) all.push_back(i);
  const Batch batch = make_batch(pick(examples, all));
  expect_scores(expected.at("sequences"), attribute_scores(model, HeadPooling::last, examples, 4096));
  const double count = label_count(batch);
  EXPECT_EQ(count, expected.at("known_labels").get<double>());
  Parameters gradients = zeros_like(trained(), at::kFloat);
  const double loss = regression_gradient(model, batch, 1 / count, gradients) / count;
  EXPECT_NEAR(loss, expected.at("loss").get<double>(), 1e-5 * loss);
  expect_gradients(expected.at("gradients"), gradients);
}

INSTANTIATE_TEST_SUITE_P(Families, ClassifierFamily,
                         testing::Values("llama_classifier", "mistral_classifier", "qwen2_classifier",
                                         "qwen3_classifier", "lora_score"),
                         [](const auto& tested) { return std::string(tested.param); });

}  // namespace
}  // namespace steerlm
