// Fresh weights: golden numbers, and what they are drawn from.
#include "steerlm/nn/init.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "support/small_llama.h"

namespace steerlm {
namespace {

ModelConfig small_config() {
  ModelConfig config = small_llama(300, 0.02);
  config.qkv_bias = true;
  return config;
}

at::Tensor named(const NamedTensors& tensors, const std::string& name) {
  return std::ranges::find(tensors, name, &NamedTensors::value_type::first)->second;
}

void expect_starts_with(const at::Tensor& row, const std::vector<float>& wanted, const std::string& name) {
  for (size_t j = 0; j < wanted.size(); ++j)
    EXPECT_FLOAT_EQ(row[static_cast<std::int64_t>(j)].item<float>(), wanted[j]) << name << ", column " << j;
}

// Computed in Python with the generator of tools/fixture_support.py: seed 11, row 1.
TEST(Init, GoldenNumbers) {
  const ModelConfig config = small_config();
  const NamedTensors model = init_parameters(config, {.language_model = true}, 11);
  expect_starts_with(named(model, "model.embed_tokens.weight")[1], {0x1.2deadep-6f, 0x1.3918cep-7f, -0x1.75f0a0p-6f},
                     "embedding");
  expect_starts_with(named(model, "model.layers.1.self_attn.k_proj.weight")[1],
                     {0x1.ee103ap-7f, 0x1.e40022p-6f, -0x1.a6b5dep-7f}, "k_proj");
  expect_starts_with(named(model, "lm_head.weight")[1], {0x1.b5c2f2p-5f, 0x1.943ebap-6f, -0x1.bbcd8ep-6f}, "lm_head");
  expect_starts_with(named(init_score_head(config, {.attributes = 3}, 11), "score.weight")[1],
                     {-0x1.7f1cf2p-8f, 0x1.988facp-6f, -0x1.ee3b1cp-9f}, "score");
  expect_starts_with(named(init_lora(config, {.rank = 3, .targets = {"q_proj"}}, 11),
                           "model.layers.0.self_attn.q_proj.lora_A.weight")[1],
                     {-0x1.3829bap-5f, 0x1.6e861cp-5f, 0x1.9da392p-3f}, "lora_A");
}

TEST(Init, MatricesAreNormalNormsOneBiasesZero) {
  for (const auto& [name, tensor] : init_parameters(small_config(), {.language_model = true}, 3)) {
    if (name.ends_with(".bias")) {
      EXPECT_EQ(tensor.abs().max().item<float>(), 0) << name;
    } else if (tensor.dim() == 1) {
      EXPECT_TRUE(tensor.eq(1).all().item<bool>()) << name;
    } else {
      const double n = static_cast<double>(tensor.numel());
      EXPECT_NEAR(tensor.mean().item<double>(), 0, 4 * 0.02 / std::sqrt(n)) << name;
      EXPECT_NEAR(tensor.std().item<double>(), 0.02, 4 * 0.02 / std::sqrt(2 * n)) << name;
    }
  }
}

// A weight depends on seed, name and place alone: a deeper model has the same first layers.
TEST(Init, ModelsShareWhatTheyHaveInCommon) {
  ModelConfig deeper = small_config();
  deeper.num_hidden_layers = 3;
  const NamedTensors few = init_parameters(small_config(), {.language_model = true}, 5),
                     many = init_parameters(deeper, {.language_model = true}, 5);
  for (const auto& [name, tensor] : few) EXPECT_TRUE(tensor.equal(named(many, name))) << name;
  EXPECT_FALSE(named(few, "lm_head.weight")
                   .equal(named(init_parameters(small_config(), {.language_model = true}, 6), "lm_head.weight")));
}

}  // namespace
}  // namespace steerlm
