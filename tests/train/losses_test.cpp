// Every gradient of both heads against ATen autograd in fp64, and packing, micro-batching and neighbours that must not
// matter.
#include "steerlm/train/losses.h"
#include "support/batches.h"

#include <gtest/gtest.h>

#include <algorithm>

#include "steerlm/core/rng.h"
#include "steerlm/nn/init.h"
#include "support/autograd_reference.h"
#include "support/parameters.h"

namespace steerlm {
namespace {

struct Case {
  const char* name;
  bool tied;
  std::int64_t key_value_heads;
  std::int64_t attributes;  // 0: language model
  bool bias;
  void (*edit)(ModelConfig&) = [](ModelConfig&) {};
  double lora_scale = 0;  // not 0: LoRA on every projection, of rank 3
};

LoraOptions lora_of(const Case& c) { return {.rank = 3, .alpha = 3 * c.lora_scale}; }

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
  c.edit(config);
  return config;
}

HeadShape head_of(const Case& c) { return {c.attributes == 0, c.attributes, c.bias}; }

Parameters weights_of(const Case& c, at::ScalarType dtype) {
  const ModelConfig config = config_of(c);
  Parameters weights = parameters_from(config, head_of(c), init_parameters(config, head_of(c), 7));
  if (c.lora_scale != 0) {
    NamedTensors matrices;
    for (const auto& [name, shape] : lora_shapes(config, lora_of(c))) matrices.emplace_back(name, at::ones(shape));
    weights = with_lora(weights, lora_of(c), matrices);
  }
  // Norm weights and biases away from their initial values, so that their gradients are put to the test.
  for_each_parameter(weights, [&](const std::string& name, at::Tensor& tensor) {
    tensor = tensor.to(dtype).clone();
    Rng rng(3, name, 0);
    if (tensor.dim() == 1) {
      for (std::int64_t i = 0; i < tensor.size(0); ++i) tensor[i] += 0.3 * rng.normal();
    }
    if (name.find(".lora_") != std::string::npos) {
      at::Tensor flat = tensor.view({-1});
      for (std::int64_t i = 0; i < flat.size(0); ++i) flat[i] = 0.4 * rng.normal();
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
double reference_gradients(const Case& c, const Parameters& weights, const Batch& batch, double scale,
                           reference::Weights& leaves) {
  torch::AutoGradMode enabled(true);
  for_each_parameter(weights, [&](const std::string& name, const at::Tensor& tensor) {
    leaves[name] = tensor.clone().requires_grad_(true);
  });
  const ModelConfig config = config_of(c);
  auto loss = torch::zeros({}, torch::kDouble);
  for (size_t s = 0; s + 1 < batch.cu_seqlens.size(); ++s) {
    const auto begin = batch.cu_seqlens[s], end = batch.cu_seqlens[s + 1];
    const auto h =
        reference::hidden(config, leaves, {batch.ids.begin() + begin, batch.ids.begin() + end}, c.lora_scale);
    if (c.attributes == 0) {
      const auto& output = c.tied ? leaves["model.embed_tokens.weight"] : leaves["lm_head.weight"];
      const auto log_p = torch::log_softmax(h.matmul(output.t()).to(torch::kDouble), -1);
      for (auto i = begin; i < end; ++i)
        loss = loss - static_cast<double>(batch.weights[i]) * log_p[i - begin][batch.targets[i]];
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

double our_gradients(const Case& c, const Parameters& weights, const Batch& batch, double scale,
                     Parameters& gradients) {
  c10::InferenceMode guard;
  const Transformer model = Transformer{config_of(c), weights};
  return c.attributes == 0 ? language_model_gradient(model, batch, scale, gradients)
                           : regression_gradient(model, batch, scale, gradients);
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
    EXPECT_LE((a[i].second - b[i].second).norm().item<double>(), 1e-10 * (1 + b[i].second.norm().item<double>()))
        << a[i].first;
  }
}

// bf16 weights and activations, gradients summed in fp32: each gradient may be off by three times what autograd in bf16
// is off, or by what four roundings to 8 bits make of its size where autograd happens to be closer.
TEST_P(LossGradients, InBf16AreAsAccurateAsAutogradInBf16) {
  const Case& c = GetParam();
  const Parameters rounded = cast(weights_of(c, at::kDouble), at::kBFloat16);
  const Batch batch = batch_of(c, {5, 1, 17, 2, 9}, 11);
  reference::Weights exact, theirs;
  const double expected = reference_gradients(c, cast(rounded, at::kDouble), batch, 0.25, exact);
  reference_gradients(c, rounded, batch, 0.25, theirs);
  Parameters ours = zeros_like(rounded, at::kFloat);
  EXPECT_NEAR(our_gradients(c, rounded, batch, 0.25, ours), expected, 0.05 * std::abs(expected));
  for_each_parameter(ours, [&](const std::string& name, const at::Tensor& gradient) {
    const at::Tensor& wanted = exact[name].grad();
    const auto off = [&](const at::Tensor& x) { return (x.to(at::kDouble) - wanted).norm().item<double>(); };
    const double allowed = std::max(3 * off(theirs[name].grad()), 4 * 0x1p-9 * wanted.norm().item<double>());
    EXPECT_LE(off(gradient), allowed) << name << ", of a size of " << wanted.norm().item<double>();
  });
}

INSTANTIATE_TEST_SUITE_P(
    Heads, LossGradients,
    testing::Values(Case{"untied", false, 4, 0, false}, Case{"tied", true, 4, 0, false},
                    Case{"grouped_query", false, 2, 0, false}, Case{"tied_multi_query", true, 1, 0, false},
                    Case{"regression", false, 2, 3, true}, Case{"regression_without_bias", true, 4, 2, false},
                    Case{"biases", false, 2, 0, false,
                         [](ModelConfig& m) { m.qkv_bias = m.o_bias = m.mlp_bias = true; }},
                    Case{"query_key_norm", true, 2, 0, false, [](ModelConfig& m) { m.qk_norm = true; }},
                    Case{"window", false, 2, 0, false,
                         [](ModelConfig& m) {
                           m.windows = {4, 0};
                         }},
                    Case{"attention_factor", false, 4, 0, false,
                         [](ModelConfig& m) {
                           m.rope_scaling = {.kind = RopeKind::yarn,
                                             .factor = 1,
                                             .original_max_position_embeddings = 64,
                                             .attention_factor = 1.3};
                         }},
                    Case{"lora", false, 2, 0, false, [](ModelConfig& m) { m.qkv_bias = true; }, 1.7},
                    Case{"lora_regression", false, 4, 2, true, [](ModelConfig&) {}, 0.5}),
    [](const auto& tested) { return tested.param.name; });

TEST(Losses, WindowOfALongSequenceEqualsAutogradAcrossItsBlocks) {
  const Case c{"", false, 2, 0, false, [](ModelConfig& m) {
                 m.windows = {5, 70};
                 m.max_position_embeddings = 512;
               }};
  const Parameters weights = weights_of(c, at::kDouble);
  const Batch batch = batch_of(c, {300, 6, 131}, 23);
  reference::Weights leaves;
  const double expected = reference_gradients(c, weights, batch, 1, leaves);
  Parameters gradients = zeros_like(weights, at::kDouble);
  EXPECT_NEAR(our_gradients(c, weights, batch, 1, gradients), expected, 1e-10 * std::abs(expected));
  for_each_parameter(gradients, [&](const std::string& name, const at::Tensor& ours) {
    const at::Tensor& theirs = leaves[name].grad();
    EXPECT_LE((ours - theirs).norm().item<double>(), 1e-8 * theirs.norm().item<double>()) << name;
  });
}

TEST(Losses, FrozenWeightsGetNoGradientAndChangeNothing) {
  const Case c{"", false, 2, 0, false, [](ModelConfig&) {}, 1.5};
  const Parameters weights = weights_of(c, at::kDouble);
  const Batch batch = batch_of(c, {5, 17}, 11);
  Parameters all = zeros_like(weights, at::kDouble);
  const double loss = our_gradients(c, weights, batch, 1, all);
  Parameters adapted = zeros_like(
      select(weights, [](const std::string& name) { return name.find(".lora_") != std::string::npos; }), at::kDouble);
  EXPECT_EQ(to_list(adapted).size(), 2u * 7 * 2);
  EXPECT_EQ(our_gradients(c, weights, batch, 1, adapted), loss);
  const NamedTensors expected = to_named_tensors(all);
  for_each_parameter(adapted, [&](const std::string& name, const at::Tensor& tensor) {
    const auto found = std::ranges::find(expected, name, &NamedTensors::value_type::first);
    EXPECT_TRUE(at::equal(tensor, found->second)) << name;
  });
}

// Weights between 0 and 1: validation measures what training minimises, a weighted mean.
TEST(Losses, FractionalWeightsCountInLossAndGradientAlike) {
  const Case c{"", false, 2, 0, false};
  const Parameters weights = weights_of(c, at::kDouble);
  const Transformer model{config_of(c), weights};
  Batch batch = batch_of(c, {5, 17, 9}, 11);
  Rng rng(4, "weights", 0);
  for (float& weight : batch.weights) weight *= static_cast<float>(rng.below(5)) / 4;
  reference::Weights leaves;
  const double expected = reference_gradients(c, weights, batch, 1, leaves);
  double sum_of_weights = 0;
  for (const float weight : batch.weights) sum_of_weights += static_cast<double>(weight);
  Parameters gradients = zeros_like(weights, at::kDouble);
  EXPECT_NEAR(our_gradients(c, weights, batch, 1, gradients), expected, 1e-10 * expected);
  for_each_parameter(gradients, [&](const std::string& name, const at::Tensor& ours) {
    const at::Tensor& theirs = leaves[name].grad();
    EXPECT_LE((ours - theirs).norm().item<double>(), 1e-8 * theirs.norm().item<double>()) << name;
  });
  EXPECT_NEAR(language_model_loss(model, pack_batch(model, batch)).item<double>(), expected, 1e-10 * expected);
  EXPECT_DOUBLE_EQ(target_count(batch), sum_of_weights);
}

// Computed again in the backward, a block's numbers are those of the forward.
TEST_P(LossGradients, OfRecomputedBlocksAreEqualToTheBit) {
  const Case& c = GetParam();
  for (const at::ScalarType dtype : {at::kFloat, at::kBFloat16}) {
    const Transformer model{config_of(c), weights_of(c, dtype)};
    const PackedBatch batch = pack_batch(model, batch_of(c, {9, 14, 30}, 2));
    Parameters kept = zeros_like(model.weights, at::kFloat), recomputed = zeros_like(model.weights, at::kFloat);
    const Loss loss_of = c.attributes == 0 ? language_model_objective : regression_objective;
    const at::Tensor loss = loss_of.gradient(model, batch, 0.25, false, kept, {});
    EXPECT_TRUE(at::equal(loss, loss_of.gradient(model, batch, 0.25, true, recomputed, {})));
    const std::vector<at::Tensor> a = to_list(kept), b = to_list(recomputed);
    for (size_t i = 0; i < a.size(); ++i) EXPECT_TRUE(at::equal(a[i], b[i])) << i;
  }
}

TEST(Losses, HiddenStatesOfASequenceDoNotDependOnItsNeighbours) {
  const Case c{"", false, 2, 0, false};
  const Transformer model = Transformer{config_of(c), weights_of(c, at::kFloat)};
  const Batch all = batch_of(c, {9, 14, 30}, 2);
  const at::Tensor packed = trunk_forward(model, pack_tokens(model, all.ids, all.cu_seqlens), nullptr);
  const std::vector<std::int64_t> second(all.ids.begin() + 9, all.ids.begin() + 23);
  const at::Tensor alone = trunk_forward(model, pack_tokens(model, second, {0, 14}), nullptr);
  EXPECT_TRUE(at::equal(packed.slice(0, 9, 23), alone))
      << "largest difference " << (packed.slice(0, 9, 23) - alone).abs().max();
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
