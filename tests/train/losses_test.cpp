// Every gradient of both heads against ATen autograd in fp64, and packing, micro-batching and neighbours that must not matter.
#include "steerlm/train/losses.h"

#include <gtest/gtest.h>

#include "steerlm/core/rng.h"
#include "steerlm/nn/init.h"
#include "support/autograd_reference.h"

namespace steerlm {
namespace {

struct Case {
  const char* name;
  bool tied;
  std::int64_t key_value_heads;
  std::int64_t attributes;  // 0: language model
  bool bias;
};

ModelConfig config_of(const Case& c) {
  ModelConfig config;
  config.vocab_size = 37;
  config.hidden_size = 24;
  config.intermediate_size = 40;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = c.key_value_heads;
  config.head_dim = 8;
  config.max_position_embeddings = 64;
  config.tie_word_embeddings = c.tied;
  config.initializer_range = 0.3;  // large enough that logits and attention are not flat
  return config;
}

HeadShape head_of(const Case& c) { return {c.attributes == 0, c.attributes, c.bias}; }

Parameters weights_of(const Case& c, at::ScalarType dtype) {
  const ModelConfig config = config_of(c);
  Parameters weights = parameters_from(config, head_of(c), init_parameters(config, head_of(c), 7));
  // Norm weights and biases away from their initial values, so that their gradients are put to the test.
  for_each_parameter(weights, [&](const std::string& name, at::Tensor& tensor) {
    tensor = tensor.to(dtype).clone();
    if (tensor.dim() == 1) {
      Rng rng(3, name, 0);
      for (std::int64_t i = 0; i < tensor.size(0); ++i) tensor[i] += 0.3 * rng.normal();
    }
  });
  return weights;
}

Batch batch_of(const Case& c, std::vector<std::int64_t> lengths, std::uint64_t seed) {
  std::vector<Example> examples;
  for (size_t s = 0; s < lengths.size(); ++s) {
    Rng rng(seed, "example", s);
    Example example;
    for (std::int64_t i = 0; i < lengths[s]; ++i) {
      example.ids.push_back(static_cast<std::int32_t>(rng.below(37)));
      example.target.push_back(i > 0 && rng.uniform() < 0.6);
    }
    for (std::int64_t a = 0; a < c.attributes; ++a) {
      example.labels.push_back(rng.uniform() < 0.3 ? NAN : static_cast<float>(rng.below(5)));
    }
    examples.push_back(std::move(example));
  }
  std::vector<const Example*> pointers;
  for (const Example& example : examples) pointers.push_back(&example);
  return make_batch(pointers);
}

// Loss sum and gradients of the reference.
double reference_gradients(const Case& c, const Parameters& weights, const Batch& batch, double scale, reference::Weights& leaves) {
  torch::AutoGradMode enabled(true);
  for_each_parameter(weights, [&](const std::string& name, const at::Tensor& tensor) {
    leaves[name] = tensor.clone().requires_grad_(true);
  });
  const ModelConfig config = config_of(c);
  auto loss = torch::zeros({}, torch::kDouble);
  for (size_t s = 0; s + 1 < batch.cu_seqlens.size(); ++s) {
    const auto begin = batch.cu_seqlens[s], end = batch.cu_seqlens[s + 1];
    const auto h = reference::hidden(config, leaves, {batch.ids.begin() + begin, batch.ids.begin() + end});
    if (c.attributes == 0) {
      const auto& output = c.tied ? leaves["model.embed_tokens.weight"] : leaves["lm_head.weight"];
      const auto log_p = torch::log_softmax(h.matmul(output.t()), -1);
      for (auto i = begin; i < end; ++i) loss = loss - static_cast<double>(batch.weights[i]) * log_p[i - begin][batch.targets[i]];
    } else {
      auto score = leaves["score.weight"].matmul(h[end - begin - 1]);
      if (c.bias) score = score + leaves["score.bias"];
      for (std::int64_t a = 0; a < c.attributes; ++a) {
        const float label = batch.labels[static_cast<std::int64_t>(s) * c.attributes + a];
        if (!std::isnan(label)) loss = loss + (score[a] - static_cast<double>(label)).pow(2);
      }
    }
  }
  (loss * scale).backward();
  return loss.item<double>();
}

double our_gradients(const Case& c, const Parameters& weights, const Batch& batch, double scale, Parameters& gradients) {
  c10::InferenceMode guard;
  const Transformer model = make_transformer(config_of(c), weights);
  return c.attributes == 0 ? language_model_gradient(model, batch, scale, gradients) : regression_gradient(model, batch, scale, gradients);
}

class LossGradients : public testing::TestWithParam<Case> {};

TEST_P(LossGradients, EqualAutogradInFp64) {
  const Case& c = GetParam();
  const Parameters weights = weights_of(c, at::kDouble);
  const Batch batch = batch_of(c, {5, 1, 17, 2, 9}, 11);
  reference::Weights leaves;
  const double expected = reference_gradients(c, weights, batch, 0.25, leaves);
  Parameters gradients = zeros_like(weights, at::kDouble);
  EXPECT_NEAR(our_gradients(c, weights, batch, 0.25, gradients), expected, 1e-10 * std::abs(expected));
  for_each_parameter(gradients, [&](const std::string& name, const at::Tensor& ours) {
    const at::Tensor& theirs = leaves[name].grad();
    ASSERT_TRUE(theirs.defined()) << name;
    const double norm = theirs.norm().item<double>();
    EXPECT_GT(norm, 1e-6) << name << " has no gradient to speak of";
    EXPECT_LE((ours - theirs).norm().item<double>(), 1e-8 * norm) << name;
  });
}

TEST_P(LossGradients, PackedEqualsOneByOne) {
  const Case& c = GetParam();
  const Parameters weights = weights_of(c, at::kDouble);
  const std::vector<std::int64_t> lengths{3, 12, 1, 8};
  Parameters packed = zeros_like(weights, at::kDouble), single = zeros_like(weights, at::kDouble);
  const Batch all = batch_of(c, lengths, 5);
  const double packed_loss = our_gradients(c, weights, all, 1, packed);
  double single_loss = 0;
  for (size_t s = 0; s < lengths.size(); ++s) {
    const auto begin = all.cu_seqlens[s], end = all.cu_seqlens[s + 1];
    Batch one;
    one.ids.assign(all.ids.begin() + begin, all.ids.begin() + end);
    one.targets.assign(all.targets.begin() + begin, all.targets.begin() + end);
    one.weights.assign(all.weights.begin() + begin, all.weights.begin() + end);
    one.cu_seqlens = {0, end - begin};
    if (c.attributes > 0) {
      one.labels.assign(all.labels.begin() + static_cast<std::int64_t>(s) * c.attributes,
                        all.labels.begin() + static_cast<std::int64_t>(s + 1) * c.attributes);
    }
    single_loss += our_gradients(c, weights, one, 1, single);
  }
  EXPECT_NEAR(packed_loss, single_loss, 1e-10 * std::abs(single_loss));
  const auto a = to_named_tensors(packed), b = to_named_tensors(single);
  for (size_t i = 0; i < a.size(); ++i) {
    EXPECT_LE((a[i].second - b[i].second).norm().item<double>(), 1e-10 * (1 + b[i].second.norm().item<double>())) << a[i].first;
  }
}

INSTANTIATE_TEST_SUITE_P(Heads, LossGradients,
                         testing::Values(Case{"untied", false, 4, 0, false}, Case{"tied", true, 4, 0, false},
                                         Case{"grouped_query", false, 2, 0, false}, Case{"tied_multi_query", true, 1, 0, false},
                                         Case{"regression", false, 2, 3, true}, Case{"regression_without_bias", true, 4, 2, false}),
                         [](const auto& info) { return info.param.name; });

TEST(Losses, HiddenStatesOfASequenceDoNotDependOnItsNeighbours) {
  const Case c{"", false, 2, 0, false};
  const Transformer model = make_transformer(config_of(c), weights_of(c, at::kFloat));
  const Batch all = batch_of(c, {9, 14, 30}, 2);
  const at::Tensor packed = trunk_forward(model, pack_tokens(all.ids, all.cu_seqlens), nullptr);
  const std::vector<std::int64_t> second(all.ids.begin() + 9, all.ids.begin() + 23);
  const at::Tensor alone = trunk_forward(model, pack_tokens(second, {0, 14}), nullptr);
  EXPECT_TRUE(at::equal(packed.slice(0, 9, 23), alone)) << "largest difference " << (packed.slice(0, 9, 23) - alone).abs().max();
}

TEST(Losses, RowWithoutAnyLabelCostsNothing) {
  const Case c{"", false, 4, 2, true};
  Batch batch = batch_of(c, {4, 6}, 3);
  batch.labels = {NAN, NAN, NAN, NAN};
  Parameters gradients = zeros_like(weights_of(c, at::kFloat), at::kFloat);
  EXPECT_EQ(label_count(batch), 0);
  EXPECT_EQ(our_gradients(c, weights_of(c, at::kFloat), batch, 1, gradients), 0);
  for (const at::Tensor& gradient : to_list(gradients)) EXPECT_EQ(gradient.abs().max().item<float>(), 0);
}

}  // namespace
}  // namespace steerlm
