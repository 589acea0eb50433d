// Whole models on a GPU: every family against what Transformers computed, and against the same model on the CPU.
#include <ATen/ops/equal.h>
#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "stages/family.h"
#include "steerlm/data/batch.h"
#include "steerlm/infer/score.h"
#include "steerlm/nn/kv_cache.h"
#include "steerlm/train/step.h"
#include "support/batches.h"
#include "support/gpu.h"
#include "support/parameters.h"
#include "support/train_step.h"

namespace steerlm {
namespace {

const at::Device gpu(at::kCUDA, 0);

double relative_difference(const at::Tensor& a, const at::Tensor& b) {
  const at::Tensor left = a.cpu().to(at::kDouble), right = b.cpu().to(at::kDouble);
  return left.sub(right).norm().item<double>() / std::max(right.norm().item<double>(), 1e-20);
}

void expect_equal_bits(const Parameters& a, const Parameters& b, const char* what) {
  const std::vector<at::Tensor> left = to_list(a), right = to_list(b);
  ASSERT_EQ(left.size(), right.size());
  for (size_t i = 0; i < left.size(); ++i) EXPECT_TRUE(at::equal(left[i], right[i])) << what << ", parameter " << i;
}

class CudaFamily : public Family {
 protected:
  void SetUp() override {
    STEERLM_SKIP_WITHOUT_GPU();
    Family::SetUp();
    on_gpu = in(at::kFloat);
  }
  Transformer in(at::ScalarType dtype) const { return {model.config, flatten(model.weights, dtype, gpu).views}; }
  // Flat as in training: projections of one input are one product, and a test without would not see it.
  Parameters gradients_like(const Transformer& of) const {
    return flat_zeros(
               select(of.weights, [&](const std::string& name) { return !folder.adapter || is_trained_by_lora(name); }),
               at::kFloat, of.device())
        .views;
  }

  Transformer on_gpu;
};

class CudaLanguageModel : public CudaFamily {
 protected:
  at::Tensor gradient(const Transformer& of, const Batch& batch, bool recompute, Parameters& gradients) const {
    return language_model_gradient(of, pack_batch(of, batch), 1 / target_count(batch), recompute, gradients);
  }
};

TEST_P(CudaLanguageModel, LogProbabilities) {
  const auto scored = token_log_probabilities(on_gpu, examples, 4096);
  const auto on_cpu = token_log_probabilities(model, examples, 4096);
  for (size_t s = 0; s < examples.size(); ++s) {
    for (size_t i = 1; i < examples[s].ids.size(); ++i) {
      if (examples[s].target[i] == 0) continue;
      EXPECT_NEAR(scored[s][i], expected.at("sequences")[s].at("logprobs")[i - 1].get<double>(), 1e-4)
          << s << ", " << i;
      EXPECT_NEAR(scored[s][i], on_cpu[s][i], 1e-4) << s << ", " << i;
    }
  }
}

TEST_P(CudaLanguageModel, LossAndEveryGradient) {
  const Json& packed = expected.at("packed");
  const Batch batch = make_batch(pick(examples, packed.at("batch")));
  Parameters first = gradients_like(on_gpu), again = gradients_like(on_gpu), recomputed = gradients_like(on_gpu);
  const at::Tensor loss = gradient(on_gpu, batch, false, first);
  EXPECT_NEAR(loss.item<double>() / target_count(batch), packed.at("loss").get<double>(), 1e-4);
  EXPECT_TRUE(at::equal(loss, gradient(on_gpu, batch, false, again)));
  EXPECT_TRUE(at::equal(loss, gradient(on_gpu, batch, true, recomputed)));
  expect_equal_bits(first, again, "a second time");
  expect_equal_bits(first, recomputed, "recomputed");
  Parameters on_cpu = gradients_like(model);
  gradient(model, batch, false, on_cpu);
  const std::vector<at::Tensor> wanted = to_list(on_cpu);
  size_t i = 0;
  for_each_parameter(first, [&](const std::string& name, const at::Tensor& ours) {
    EXPECT_LE(relative_difference(ours, wanted[i++]), 1e-4) << name;
  });
  Parameters on_host = first;
  move_to(on_host, at::kCPU);
  expect_gradients(packed.at("gradients"), on_host);
}

// bf16 has 8 bits: the loss and the direction of every gradient are those of fp32 on the rounded weights.
TEST_P(CudaLanguageModel, InBf16TheGradientsPointTheSameWay) {
  const Batch batch = make_batch(pick(examples, expected.at("packed").at("batch")));
  const Transformer narrow = in(at::kBFloat16);
  const Transformer rounded{model.config, cast(cast(model.weights, at::kBFloat16), at::kFloat)};
  Parameters ours = gradients_like(narrow), again = gradients_like(narrow), wanted = gradients_like(rounded);
  const at::Tensor loss = gradient(narrow, batch, false, ours);
  const double exact = gradient(rounded, batch, false, wanted).item<double>();
  EXPECT_NEAR(loss.item<double>(), exact, 0.02 * exact);
  EXPECT_TRUE(at::equal(loss, gradient(narrow, batch, true, again)));
  expect_equal_bits(ours, again, "recomputed");
  const std::vector<at::Tensor> exact_gradients = to_list(wanted);
  size_t i = 0;
  for_each_parameter(ours, [&](const std::string& name, const at::Tensor& tensor) {
    EXPECT_LE(relative_difference(tensor, exact_gradients[i++]), 0.15) << name;
  });
}

// Prompts of different lengths, read in one pack, and a step for all of them.
TEST_P(CudaLanguageModel, GreedyText) {
  const Json& greedy = expected.at("greedy");
  std::vector<std::vector<std::int32_t>> prompts;
  std::vector<SlotPrompt> slot_prompts;
  size_t longest = 0;
  for (const Json& wanted : greedy) {
    prompts.push_back(wanted.at("prompt").get<std::vector<std::int32_t>>());
    longest = std::max(longest, prompts.back().size());
  }
  KvCache cache =
      make_kv_cache(on_gpu, static_cast<std::int64_t>(prompts.size()), static_cast<std::int64_t>(longest) + 64);
  for (size_t i = 0; i < prompts.size(); ++i) slot_prompts.push_back({static_cast<std::int64_t>(i), prompts[i]});
  std::vector<bool> active(cache.lengths.size(), false);
  std::fill_n(active.begin(), prompts.size(), true);
  at::Tensor hidden_rd = prefill(on_gpu, cache, slot_prompts);
  for (size_t position = 0; position < 64; ++position) {
    const at::Tensor next = at::mm(hidden_rd, on_gpu.weights.output_vd().t()).argmax(1).cpu();
    std::vector<std::int32_t> ids(cache.lengths.size(), 0);
    for (size_t i = 0; i < prompts.size(); ++i) {
      ids[i] = static_cast<std::int32_t>(next[static_cast<std::int64_t>(i)].item<std::int64_t>());
      EXPECT_EQ(ids[i], greedy[i].at("ids")[position].get<std::int32_t>()) << "prompt " << i << ", token " << position;
    }
    if (position < 63) hidden_rd = decode_step(on_gpu, cache, ids, active);
  }
}

// The optimiser's steps on both devices; the same steps again give the same bits.
TEST_P(CudaLanguageModel, Steps) {
  const std::vector<const Example*> batch = pick(examples, expected.at("packed").at("batch"));
  const auto is_trained = [&](const std::string& name) { return !folder.adapter || is_trained_by_lora(name); };
  const auto train = [&](const Transformer& of, at::ScalarType dtype, std::vector<StepResult>& results) {
    Parameters weights = of.weights;  // what is trained is copied, the others are not changed
    Training training = make_training(model.config, weights, dtype, of.device(), is_trained);
    StepOptions options{.total_steps = 4, .micro_batch_tokens = 64};
    options.optimizer.learning_rate = 1e-3;
    for (int t = 0; t < 4; ++t) results.push_back(train_step(training, batch, language_model_objective, options));
    return training;
  };
  std::vector<StepResult> cpu, first, again, narrow;
  train(model, at::kFloat, cpu);
  const Training one = train(on_gpu, at::kFloat, first), two = train(on_gpu, at::kFloat, again);
  const Training rounded = train(on_gpu, at::kBFloat16, narrow);
  for (size_t t = 0; t < cpu.size(); ++t) {
    EXPECT_TRUE(first[t].applied);
    EXPECT_NEAR(first[t].loss, cpu[t].loss, 2e-4 * cpu[t].loss) << t;
    EXPECT_NEAR(first[t].gradient_norm, cpu[t].gradient_norm, 2e-3 * cpu[t].gradient_norm) << t;
    EXPECT_NEAR(narrow[t].loss, cpu[t].loss, 0.05 * cpu[t].loss) << t;
    EXPECT_EQ(first[t].loss, again[t].loss) << t;
  }
  expect_equal_bits(one.masters.views, two.masters.views, "masters");
  EXPECT_TRUE(at::equal(rounded.copy.flat, rounded.masters.flat.to(at::kBFloat16)))
      << "the copy is the masters, rounded";
}

INSTANTIATE_TEST_SUITE_P(Families, CudaLanguageModel, language_models, family_name);

class CudaClassifier : public CudaFamily {};

TEST_P(CudaClassifier, ScoresLossAndGradients) {
  expect_scores(expected.at("sequences"), attribute_scores(on_gpu, HeadPooling::last, examples, 4096));
  Json all = Json::array();
  for (size_t i = 0; i < examples.size(); ++i) all.push_back(i);
  const Batch batch = make_batch(pick(examples, all));
  const double count = label_count(batch);
  Parameters gradients = gradients_like(on_gpu);
  const double loss =
      regression_gradient(on_gpu, pack_batch(on_gpu, batch), 1 / count, false, gradients).item<double>() / count;
  EXPECT_NEAR(loss, expected.at("loss").get<double>(), 1e-4 * loss);
  move_to(gradients, at::kCPU);
  expect_gradients(expected.at("gradients"), gradients);
}

INSTANTIATE_TEST_SUITE_P(Families, CudaClassifier,
                         testing::Values("llama_classifier", "mistral_classifier", "qwen2_classifier",
                                         "qwen3_classifier", "lora_score"),
                         family_name);

}  // namespace
}  // namespace steerlm
