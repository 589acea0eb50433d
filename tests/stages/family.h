// The models of tests/fixtures/families, each read from a folder as a user's is, beside what Transformers computed.
#pragma once

#include <ATen/ops/mm.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "steerlm/hf/adapter.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/nn/transformer.h"
#include "support/example_sequences.h"
#include "support/family_fixture.h"
#include "support/temporary_folder.h"

namespace steerlm {

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
    return select(model.weights, [&](const std::string& name) { return !folder.adapter || is_trained_by_lora(name); });
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

inline const auto language_models =
    testing::Values("llama2", "llama3", "llama31", "linear", "dynamic", "yarn", "yarn_explicit", "yarn_factor",
                    "mistral", "mistral_full", "qwen2", "qwen2_windows", "qwen3", "llama_bias", "lora");
inline const auto family_name = [](const testing::TestParamInfo<const char*>& tested) {
  return std::string(tested.param);
};

}  // namespace steerlm
