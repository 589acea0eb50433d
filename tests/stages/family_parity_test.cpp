// Every family and feature against what Transformers computed on the same weights (tools/make_family_fixtures.py;
// versions in the files): logits, log-probabilities, loss, every gradient, ten AdamW steps with clipping, greedy text,
// classification scores.
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "steerlm/data/batch.h"
#include "steerlm/hf/adapter.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/infer/generate.h"
#include "steerlm/infer/score.h"
#include "steerlm/kernels/adamw.h"
#include "steerlm/kernels/sampling.h"
#include "steerlm/nn/kv_cache.h"
#include "steerlm/nn/transformer.h"
#include "steerlm/optim/adamw.h"
#include "steerlm/train/losses.h"
#include "support/example_sequences.h"
#include "support/family_fixture.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

Batch batch_of(const std::vector<Example>& examples, const Json& numbers) {
  std::vector<const Example*> members;
  for (const Json& number : numbers) members.push_back(&examples.at(number.get<size_t>()));
  return make_batch(members);
}

// Read from a folder, as a user's model is.
class Family : public testing::TestWithParam<const char*> {
 protected:
  void SetUp() override {
    expected = family_json(GetParam(), "expected.json");
    const Path base = folder_.path() / "model", adapter = folder_.path() / "adapter";
    const bool adapted = expected.contains("adapter_parameters");
    if (adapted)
      write_adapter_fixture(GetParam(), base, adapter);
    else
      write_family_folder(GetParam(), base);
    folder = open_model_folder(base);
    const Weights weights = own_weights(folder);
    model = {folder.config, parameters_from(folder.config, head_shape(folder, weights), read_weights(folder, weights))};
    if (adapted) {
      folder = open_model_folder(adapter);
      const NamedTensors tensors = read_adapter_tensors(adapter, *folder.adapter, folder.config);
      model.weights = with_lora(model.weights, folder.adapter->lora, tensors);
      for (const auto& [name, tensor] : tensors) {
        if (name == "score.weight") model.weights.score_ad = tensor;
      }
    }
    seed = expected.at("seed").get<std::uint64_t>();
    examples = examples_of(expected.at("sequences"));
  }

  at::Tensor logits(const std::vector<std::int32_t>& ids) const {
    const PackedTokens tokens =
        pack_tokens(model, {ids.begin(), ids.end()}, {0, static_cast<std::int64_t>(ids.size())});
    return at::mm(trunk_forward(model, tokens, nullptr), model.weights.output_vd().t()).to(at::kDouble);
  }
  // With an adapter only its own tensors, which the fixture names as PEFT does.
  Parameters trained() const {
    return select(model.weights, [&](const std::string& name) {
      return !folder.adapter || name.find(".lora_") != std::string::npos || name == "score.weight";
    });
  }
  std::string fixture_name(const std::string& name) const { return folder.adapter ? "base_model.model." + name : name; }
  void expect_gradients(const Json& wanted, const Parameters& gradients) const {
    size_t compared = 0;
    for_each_parameter(gradients, [&](const std::string& plain_name, const at::Tensor& ours) {
      const std::string name = fixture_name(plain_name);
      ASSERT_TRUE(wanted.contains(name)) << name;
      expect_summary(wanted.at(name), seed, name, ours, 5e-5);
      ++compared;
    });
    EXPECT_EQ(compared, wanted.size());
  }

  TemporaryFolder folder_;
  ModelFolder folder;
  Transformer model;
  Json expected;
  std::uint64_t seed = 0;
  std::vector<Example> examples;
};

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
  const Batch batch = batch_of(examples, packed.at("batch"));
  const double count = target_count(batch);
  EXPECT_EQ(count, packed.at("target_tokens").get<double>());
  Parameters gradients = zeros_like(trained(), at::kFloat);
  const double loss = language_model_gradient(model, batch, 1 / count, gradients) / count;
  EXPECT_NEAR(loss, packed.at("loss").get<double>(), 1e-5 * loss);
  expect_gradients(packed.at("gradients"), gradients);
}

TEST_P(LanguageModelFamily, TenAdamwStepsWithClipping) {
  const Json& adamw = expected.at("adamw");
  const Json& settings = adamw.at("settings");
  OptimizerOptions options;
  options.weight_decay = settings.at("weight_decay").get<double>();
  options.betas = settings.at("betas").get<std::array<double, 2>>();
  options.eps = settings.at("eps").get<double>();
  const double clip = settings.at("clip_grad_norm").get<double>();
  Parameters masters = trained();  // the model's own tensors, changed in place
  AdamwState state = make_adamw_state(masters);
  std::int64_t t = 0;
  for (const Json& step : adamw.at("steps")) {
    const Batch batch = batch_of(examples, step.at("batch"));
    const double count = target_count(batch);
    Parameters gradients = zeros_like(trained(), at::kFloat);
    const double loss = language_model_gradient(model, batch, 1 / count, gradients) / count;
    const double norm = global_norm(to_list(gradients));
    EXPECT_NEAR(loss, step.at("loss").get<double>(), 1e-4 * loss) << "step " << t;
    EXPECT_NEAR(norm, step.at("grad_norm").get<double>(), 1e-3 * norm) << "step " << t;
    adamw_update(masters, gradients, state, options, settings.at("learning_rate").get<double>(),
                 norm > clip ? clip / (norm + 1e-6) : 1, ++t);
  }
  EXPECT_EQ(t, 10);
  for_each_parameter(masters, [&](const std::string& plain_name, const at::Tensor& tensor) {
    const std::string name = fixture_name(plain_name);
    expect_summary(adamw.at("parameters").at(name), seed, name, tensor,
                   1e-4);  // a key bias has next to no gradient, which AdamW makes large
  });
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

INSTANTIATE_TEST_SUITE_P(Families, LanguageModelFamily,
                         testing::Values("llama2", "llama3", "llama31", "linear", "dynamic", "yarn", "yarn_explicit",
                                         "yarn_factor", "mistral", "mistral_full", "qwen2", "qwen2_windows", "qwen3",
                                         "llama_bias", "lora"),
                         [](const auto& tested) { return std::string(tested.param); });

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
  const Batch batch = batch_of(examples, all);
  const std::vector<float> scores = regression_scores(model, batch);
  size_t i = 0;
  for (const Json& sequence : expected.at("sequences")) {
    for (const Json& score : sequence.at("scores"))
      EXPECT_NEAR(static_cast<double>(scores.at(i++)), score.get<double>(), 1e-4);
  }
  EXPECT_EQ(i, scores.size());
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
