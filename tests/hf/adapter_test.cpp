#include "steerlm/hf/adapter.h"

#include <ATen/ops/zeros.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>

#include "steerlm/core/error.h"
#include "steerlm/hf/model_folder.h"
#include "steerlm/store/safetensors.h"
#include "support/message_of.h"
#include "support/temporary_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

class AdapterConfig : public ::testing::Test {
 protected:
  AdapterConfig() {
    const Path path = Path(STEERLM_SOURCE_DIR) / "tests/fixtures/families/lora/adapter_config.json";
    json_ = parse_json(read_file(path, ExitCode::model, "config"), path.string(), ExitCode::model);
    json_["base_model_name_or_path"] = "base";
  }
  Adapter read() {
    std::ofstream(folder_.path() / "adapter_config.json") << json_.dump();
    return read_adapter_config(folder_.path());
  }
  std::string message() {
    return message_of(ExitCode::model, [&] { read(); });
  }
  std::string message_with(const char* key, const Json& value) {
    const Json before = json_;
    json_[key] = value;
    std::string text = message();
    json_ = before;
    return text;
  }

  TemporaryFolder folder_;
  Json json_;
};

// tools/make_family_fixtures.py holds the merged weights against PEFT.
TEST_F(AdapterConfig, EveryKeyOfPeftIsKnown) { EXPECT_EQ(read().lora.scale(), 0.5); }

TEST_F(AdapterConfig, InitialisationsThatChangeTheBaseAreRefused) {
  for (const char* name :
       {"pissa", "pissa_niter_16", "olora", "corda", "loftq", "eva", "lora_ga", "mica", "PiSSA", "new"}) {
    EXPECT_THAT(
        message_with("init_lora_weights", name),
        AllOf(HasSubstr("'init_lora_weights' is not implemented: this initialisation changes the base's weights"),
              HasSubstr(std::string("found \"") + name + "\""), HasSubstr("merge_and_unload")));
  }
  for (const Json& value : {Json(true), Json(false), Json(nullptr), Json("gaussian"), Json("orthogonal")})
    EXPECT_EQ(message_with("init_lora_weights", value), "");
}

TEST_F(AdapterConfig, KeysThatChangeTheComputationAreRefusedByName) {
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{{"peft_type", "ADALORA"},
                                                                            {"bias", "all"},
                                                                            {"use_dora", true},
                                                                            {"use_qalora", true},
                                                                            {"use_bdlora", {{"a", 1}}},
                                                                            {"lora_bias", true},
                                                                            {"fan_in_fan_out", true},
                                                                            {"rank_pattern", {{"q_proj", 8}}},
                                                                            {"alpha_pattern", {{"q_proj", 8}}},
                                                                            {"loftq_config", {{"loftq_bits", 4}}},
                                                                            {"layers_to_transform", {0}},
                                                                            {"layers_pattern", "layers"},
                                                                            {"layer_replication", {{0, 1}}},
                                                                            {"exclude_modules", {"q_proj"}},
                                                                            {"target_parameters", {"a"}},
                                                                            {"trainable_token_indices", {1}},
                                                                            {"alora_invocation_tokens", {1}},
                                                                            {"megatron_config", {{"a", 1}}},
                                                                            {"eva_config", {{"rho", 2}}},
                                                                            {"corda_config", {{"a", 1}}},
                                                                            {"lora_ga_config", {{"a", 1}}},
                                                                            {"kasa_config", {{"a", 1}}},
                                                                            {"modules_to_save", {"norm"}},
                                                                            {"task_type", "SEQ_2_SEQ_LM"}})
    EXPECT_THAT(message_with(key, value), HasSubstr("'" + std::string(key) + "' is not implemented")) << key;
}

TEST_F(AdapterConfig, UnknownKeysAreRefusedAllAtOnce) {
  json_["use_new_method"] = true;
  json_["other"] = {{"a", 1}};
  json_["nothing"] = nullptr;
  EXPECT_THAT(message(),
              AllOf(HasSubstr("the key 'use_new_method' is not known, and might change what the adapter computes"),
                    HasSubstr("the key 'other' is not known"), Not(HasSubstr("nothing"))));
}

TEST_F(AdapterConfig, RankStabilisedScaleIsAlphaOverTheRootOfTheRank) {
  json_["use_rslora"] = true;
  json_["lora_alpha"] = 3;
  EXPECT_DOUBLE_EQ(read().lora.scale(), 3 / std::sqrt(4.0));
}

TEST_F(AdapterConfig, AnEmbeddingOfItsOwnIsNamed) {
  for (const Json& modules : {Json{"embed_tokens", "lm_head"}, Json{"lm_head"}}) {
    EXPECT_THAT(message_with("modules_to_save", modules),
                AllOf(HasSubstr("the adapter brings a whole embedding or output layer of its own"),
                      HasSubstr("resize_token_embeddings")));
  }
  const Adapter adapter = read();
  const ModelConfig config{.vocab_size = 40,
                           .hidden_size = 8,
                           .intermediate_size = 8,
                           .num_hidden_layers = 1,
                           .num_attention_heads = 1,
                           .num_key_value_heads = 1,
                           .head_dim = 8};
  write_safetensors(folder_.path() / "adapter_model.safetensors",
                    {{"base_model.model.model.embed_tokens.weight", at::zeros({41, 8})}}, {});
  try {
    check_adapter_tensors(folder_.path(), adapter, config);
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr("adapter_model.safetensors: the adapter brings a whole embedding"),
                                    HasSubstr("embed_tokens.weight' of shape [41,8]")));
  }
}

// What PEFT 0.21 merges and saves of these, Transformers and this program read as a model.
TEST_F(AdapterConfig, RefusalsSayToMergeWherePeftCan) {
  for (const auto& [key, value] :
       std::vector<std::pair<const char*, Json>>{{"bias", "lora_only"},
                                                 {"use_dora", true},
                                                 {"lora_bias", true},
                                                 {"rank_pattern", {{"q_proj", 8}}},
                                                 {"alpha_pattern", {{"q_proj", 8}}},
                                                 {"layers_to_transform", {0}},
                                                 {"exclude_modules", {"q_proj"}},
                                                 {"target_parameters", {"mlp.gate_proj.weight"}},
                                                 {"trainable_token_indices", {1}},
                                                 {"modules_to_save", {"norm"}},
                                                 {"target_modules", ".*\\.q_proj"}})
    EXPECT_THAT(message_with(key, value), AllOf(HasSubstr("merge_and_unload"), HasSubstr("save_pretrained"))) << key;
  for (const auto& [key, value] : std::vector<std::pair<const char*, Json>>{
           {"peft_type", "PROMPT_TUNING"}, {"alora_invocation_tokens", {1}}, {"layer_replication", {{0, 2}, {1, 2}}}})
    EXPECT_THAT(message_with(key, value), Not(HasSubstr("merge_and_unload"))) << key << ": that fails in PEFT";
}

// PEFT writes target_modules="all-linear" so.
TEST_F(AdapterConfig, FullNamesOfAllLayersAreTheirProjections) {
  ModelConfig config{.vocab_size = 40,
                     .hidden_size = 8,
                     .intermediate_size = 8,
                     .num_hidden_layers = 2,
                     .num_attention_heads = 1,
                     .num_key_value_heads = 1,
                     .head_dim = 8};
  const std::string layers = "model.layers.";
  json_["target_modules"] = {layers + "1.self_attn.v_proj", layers + "0.mlp.up_proj", layers + "0.self_attn.v_proj",
                             layers + "1.mlp.up_proj"};
  const Adapter adapter = read();
  EXPECT_THAT(adapter.lora.targets, ::testing::UnorderedElementsAre("v_proj", "up_proj"));
  NamedTensors tensors;
  for (const auto& [name, shape] : lora_shapes(config, adapter.lora)) tensors.emplace_back(name, at::zeros(shape));
  EXPECT_EQ(tensors.size(), 8u);
  write_safetensors(folder_.path() / "adapter_model.safetensors", with_peft_names(tensors), {});
  check_adapter_tensors(folder_.path(), adapter, config);
  const auto refusal = [&] {
    return message_of(ExitCode::model, [&] { check_adapter_tensors(folder_.path(), read(), config); });
  };
  for (const Json& names :
       {Json{"layers.0.self_attn.v_proj", "v_proj", "mlp.up_proj"}, Json{"self_attn.v_proj", "up_proj"}}) {
    json_["target_modules"] = names;
    EXPECT_EQ(refusal(), "") << names;
  }
  json_["target_modules"] = {layers + "0.self_attn.v_proj", "up_proj"};
  EXPECT_THAT(refusal(),
              AllOf(HasSubstr("'target_modules' adapts a projection in some layers alone, which is not implemented"),
                    HasSubstr("found no v_proj of layer 1, expected each projection in all 2 layers"),
                    HasSubstr("merge_and_unload")));
  json_["target_modules"] = {"q_proj", "lm_head"};
  EXPECT_THAT(refusal(), AllOf(HasSubstr("LoRA cannot adapt 'lm_head'"), HasSubstr("merge_and_unload")));
  for (const std::string name : {"model.layers.x.self_attn.v_proj", "model.layers.0", "model.layers.0.v_proj"}) {
    json_["target_modules"] = {name};
    EXPECT_THAT(refusal(), HasSubstr("LoRA cannot adapt '" + name + "'"));
  }
}

// A text is no list, and 'lm_head' written so is an output layer of the adapter's own too.
TEST_F(AdapterConfig, ModulesThatAreNoListAreRefused) {
  for (const Json& modules : {Json("lm_head"), Json("score"), Json(true), Json{{"score", 1}}}) {
    EXPECT_THAT(message_with("modules_to_save", modules),
                HasSubstr("'modules_to_save' (found " + modules.dump() + ", expected null or a list of names)"));
  }
}

TEST_F(AdapterConfig, AConfigJsonThatWasLeftBesideItDoesNotHideIt) {
  read();
  EXPECT_TRUE(is_adapter_folder(folder_.path()));
  std::ofstream(folder_.path() / "config.json") << "{}";
  EXPECT_FALSE(is_adapter_folder(folder_.path()));
  std::ofstream(folder_.path() / "adapter_model.safetensors") << "x";
  EXPECT_TRUE(is_adapter_folder(folder_.path()));
  std::ofstream(folder_.path() / "model.safetensors") << "x";
  EXPECT_FALSE(is_adapter_folder(folder_.path()));
}

// Transformers applies an adapter that lies in the folder of a whole model.
TEST(AdapterFolder, BesideTheWeightsOfAWholeModelIsRefused) {
  TemporaryFolder scratch;
  const auto message = [](const Path& folder) {
    return message_of(ExitCode::model, [&] { open_model_folder(folder); });
  };
  for (const std::string name : {"untied", "tied", "classifier"}) {
    const Path folder = scratch.path() / name;
    std::filesystem::copy(Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name, folder,
                          std::filesystem::copy_options::recursive);
    std::ofstream(folder / "adapter_config.json") << "{}";
    EXPECT_EQ(message(folder), "") << "without weights there is no adapter";
    for (const std::string weights : {"adapter_model.safetensors", "adapter_model.bin"}) {
      std::ofstream(folder / weights) << "x";
      EXPECT_THAT(message(folder),
                  AllOf(HasSubstr(folder.string() + ": the folder holds a whole model and an adapter too"),
                        HasSubstr("found config.json with its weights, and adapter_config.json with " + weights),
                        HasSubstr("move adapter_config.json and " + weights + " into a folder of their own")));
      std::filesystem::remove(folder / weights);
    }
  }
}

}  // namespace
}  // namespace steerlm
