// What the keys and tensors of a GGUF file say of the model, and what is refused.
#include <gmock/gmock.h>

#include <cmath>
#include <limits>

#include "hf/gguf_model.h"
#include "steerlm/hf/model_folder.h"

namespace steerlm {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;

class GgufConfig : public GgufModel {
 protected:
  GgufWriter file_ = small_gguf();
};

TEST_F(GgufConfig, KeysOfALlama) {
  import(file_);
  const Json config = json("config.json");
  EXPECT_EQ(config.at("architectures"), Json::array({"LlamaForCausalLM"}));
  EXPECT_EQ(config.at("vocab_size"), 4);
  EXPECT_EQ(config.at("hidden_size"), 16);
  EXPECT_EQ(config.at("intermediate_size"), 24);
  EXPECT_EQ(config.at("num_hidden_layers"), 1);
  EXPECT_EQ(config.at("num_attention_heads"), 2);
  EXPECT_EQ(config.at("num_key_value_heads"), 1);
  EXPECT_EQ(config.at("head_dim"), 8);
  EXPECT_EQ(config.at("max_position_embeddings"), 64);
  EXPECT_EQ(config.at("rms_norm_eps"), 1e-5) << "the number that was meant, not its nearest fp32";
  EXPECT_EQ(config.at("rope_theta"), 500000);
  EXPECT_EQ(config.at("rope_scaling"), nullptr);
  EXPECT_EQ(config.at("tie_word_embeddings"), true);
  EXPECT_EQ(config.at("attention_bias"), false);
  EXPECT_EQ(config.at("eos_token_id"), 0);
  EXPECT_EQ(config.at("torch_dtype"), "float32");
  EXPECT_EQ(json("generation_config.json").at("eos_token_id"), 0);
  file_.remove("llama.attention.head_count_kv").remove("llama.rope.freq_base").tensor("output.weight", {16, 4}, 1);
  file_.tensor("blk.0.attn_k.weight", {16, 16}, 1).tensor("blk.0.attn_v.weight", {16, 16}, 1);
  import(file_);
  EXPECT_EQ(json("config.json").at("num_key_value_heads"), 2) << "as many as query heads";
  EXPECT_EQ(json("config.json").at("rope_theta"), 10000);
  EXPECT_EQ(json("config.json").at("tie_word_embeddings"), false);
}

TEST_F(GgufConfig, OtherArchitectures) {
  for (const char* name : {"qwen2", "qwen3"}) {
    import(small_gguf(name));
    EXPECT_EQ(json("config.json").at("model_type"), name);
    const ModelFolder folder = open_model_folder(output_);
    EXPECT_NO_THROW(check_weights(folder, own_weights(folder)));
    EXPECT_EQ(folder.config.qkv_bias, name == std::string("qwen2"));
    EXPECT_EQ(folder.config.qk_norm, name == std::string("qwen3"));
  }
  file_.text("general.architecture", "gemma3");
  EXPECT_THAT(refusal(file_), AllOf(HasSubstr("'gemma3'"), HasSubstr("llama, qwen2 or qwen3")));
  file_.remove("general.architecture");
  EXPECT_THAT(refusal(file_), HasSubstr("'general.architecture' is missing"));
}

TEST_F(GgufConfig, FilesThatAreNoWholeModel) {
  file_.text("general.type", "adapter");
  EXPECT_THAT(refusal(file_), HasSubstr("no model"));
  file_.text("general.type", "model").integer("split.count", 3);
  EXPECT_THAT(refusal(file_), HasSubstr("gguf-split --merge"));
  file_.integer("split.count", 1).integer("general.quantization_version", 1);
  EXPECT_THAT(refusal(file_), HasSubstr("general.quantization_version"));
  file_.integer("general.quantization_version", 2);
  EXPECT_EQ(refusal(file_), "");
  file_.tensors.clear();
  EXPECT_THAT(refusal(file_), HasSubstr("token_embd.weight"));
}

TEST_F(GgufConfig, KeysThatMustBeThere) {
  for (const char* key : {"context_length", "embedding_length", "block_count", "feed_forward_length",
                          "attention.head_count", "attention.layer_norm_rms_epsilon"}) {
    GgufWriter bad = file_;
    const std::string name = std::string("llama.") + key;
    EXPECT_THAT(refusal(bad.remove(name)), HasSubstr("'" + name + "' is missing"));
    EXPECT_THAT(refusal(bad.text(name, "7")), AllOf(HasSubstr(name), HasSubstr("'7'")));
    EXPECT_THAT(refusal(bad.integer(name, 0)), HasSubstr(name));
    EXPECT_THAT(refusal(bad.integers(name, {1, 2})), AllOf(HasSubstr(name), HasSubstr("an array of 2 elements")));
  }
  for (const float wrong :
       {0.F, -1.F, std::numeric_limits<float>::infinity(), std::numeric_limits<float>::quiet_NaN()}) {
    GgufWriter bad = file_;
    EXPECT_THAT(refusal(bad.number("llama.attention.layer_norm_rms_epsilon", wrong)), HasSubstr("a number above 0"));
  }
  file_.set("llama.context_length", 10, GgufWriter::raw(std::numeric_limits<std::uint64_t>::max()));
  EXPECT_THAT(refusal(file_), HasSubstr("18446744073709551615"));
  file_.integer("llama.context_length", 64).integer("llama.embedding_length", 1 << 20);
  EXPECT_THAT(refusal(file_), HasSubstr("1048576")) << "the limits of a config.json hold";
}

TEST_F(GgufConfig, HeadsOfAnotherWidth) {
  file_.integer("llama.attention.key_length", 4);
  file_.tensor("blk.0.attn_q.weight", {16, 8}, 1).tensor("blk.0.attn_output.weight", {8, 16}, 1);
  file_.tensor("blk.0.attn_k.weight", {16, 4}, 1).tensor("blk.0.attn_v.weight", {16, 4}, 1);
  import(file_);
  EXPECT_EQ(json("config.json").at("head_dim"), 4);
  file_.integer("llama.attention.value_length", 8);
  EXPECT_THAT(refusal(file_), HasSubstr("llama.attention.value_length"));
  file_.integer("llama.attention.value_length", 4).integer("llama.rope.dimension_count", 2);
  EXPECT_THAT(refusal(file_), HasSubstr("llama.rope.dimension_count"));
}

TEST_F(GgufConfig, RotaryScaling) {
  file_.number("llama.rope.scaling.factor", 4);
  import(file_);
  EXPECT_EQ(json("config.json").at("rope_scaling"), (Json{{"rope_type", "linear"}, {"factor", 4.0}}));
  file_.remove("llama.rope.scaling.factor").number("llama.rope.scale_linear", 2);
  import(file_);
  EXPECT_EQ(json("config.json").at("rope_scaling"), (Json{{"rope_type", "linear"}, {"factor", 2.0}}));
  file_.text("llama.rope.scaling.type", "none");
  import(file_);
  EXPECT_EQ(json("config.json").at("rope_scaling"), nullptr);
  file_.text("llama.rope.scaling.type", "longrope");
  EXPECT_THAT(refusal(file_), AllOf(HasSubstr("'longrope'"), HasSubstr("none, linear or yarn")));
  file_.text("llama.rope.scaling.type", "yarn");
  EXPECT_THAT(refusal(file_), HasSubstr("original_context_length' is missing"));
  file_.integer("llama.rope.scaling.original_context_length", 32).flag("llama.rope.scaling.finetuned", true);
  file_.number("llama.rope.scaling.yarn_beta_fast", 16);
  import(file_);
  const ModelConfig model = open_model_folder(output_).config;
  EXPECT_EQ(model.rope_scaling.kind, RopeKind::yarn);
  EXPECT_EQ(model.rope_scaling.factor, 2);
  EXPECT_EQ(model.rope_scaling.original_max_position_embeddings, 32);
  EXPECT_EQ(model.rope_scaling.beta_fast, 16);
  EXPECT_EQ(model.rope_scaling.beta_slow, 1);
  for (const char* key : {"attn_factor", "yarn_attn_factor", "yarn_ext_factor", "yarn_log_multiplier"}) {
    GgufWriter bad = file_;
    EXPECT_THAT(refusal(bad.number(std::string("llama.rope.scaling.") + key, 0.5F)),
                AllOf(HasSubstr(key), HasSubstr("0.5")));
  }
}

// The divisors of theta 500000, width 8: 1 below a quarter of 8192, the factor above it, between them a mix.
TEST_F(GgufConfig, RotaryDivisorsOfLlama3) {
  file_.tensor("rope_freqs.weight", {4}, 1);
  import(file_);
  EXPECT_EQ(json("config.json").at("rope_scaling"), nullptr);
  const double turns = 8192 / (2 * 3.14159265358979323846 * std::pow(500000, 0.5)), smooth = (turns - 1) / 3;
  const auto mixed = [&](double factor) { return static_cast<float>(1 / ((1 - smooth) / factor + smooth)); };
  for (const float factor : {8.F, 32.F}) {
    file_.tensor("rope_freqs.weight", {4}, std::vector<float>{1, 1, mixed(factor), factor});
    import(file_);
    EXPECT_EQ(json("config.json").at("rope_scaling"), (Json{{"rope_type", "llama3"},
                                                            {"factor", factor},
                                                            {"low_freq_factor", 1.0},
                                                            {"high_freq_factor", 4.0},
                                                            {"original_max_position_embeddings", 8192}}));
  }
  file_.tensor("rope_freqs.weight", {4}, std::vector<float>{1, 1, mixed(32) + 0.01F, 32});
  EXPECT_THAT(refusal(file_), AllOf(HasSubstr("rope_freqs.weight"), HasSubstr("Llama 3.1")));
  const float nan = std::numeric_limits<float>::quiet_NaN();
  file_.tensor("rope_freqs.weight", {4}, std::vector<float>{nan, nan, nan, nan});
  EXPECT_THAT(refusal(file_), HasSubstr("rope_freqs.weight"));
  file_.tensor("rope_freqs.weight", {8}, 1);
  EXPECT_THAT(refusal(file_), HasSubstr("its shape"));
  file_.tensor("rope_freqs.weight", {4}, std::vector<float>{1, 1, mixed(32), 32})
      .number("llama.rope.scaling.factor", 2);
  EXPECT_THAT(refusal(file_), HasSubstr("scaling of another kind too"));
}

TEST_F(GgufConfig, Biases) {
  for (const char* name : {"attn_q", "attn_output"}) file_.tensor(std::string("blk.0.") + name + ".bias", {16}, 1);
  for (const char* name : {"attn_k", "attn_v"}) file_.tensor(std::string("blk.0.") + name + ".bias", {8}, 1);
  import(file_);
  EXPECT_EQ(json("config.json").at("attention_bias"), true);
  EXPECT_EQ(json("config.json").at("mlp_bias"), false);
  std::erase_if(file_.tensors, [](const auto& tensor) { return tensor.name == "blk.0.attn_output.bias"; });
  EXPECT_THAT(refusal(file_), HasSubstr("biases of q, k and v alone"));
  std::erase_if(file_.tensors, [](const auto& tensor) { return tensor.name.ends_with(".bias"); });
  file_.tensor("blk.0.ffn_gate.bias", {24}, 1).tensor("blk.0.ffn_up.bias", {24}, 1);
  EXPECT_THAT(refusal(file_), HasSubstr("no tensor 'blk.0.ffn_down.bias'"));
}

TEST_F(GgufConfig, WhatChangesTheComputationIsRefused) {
  for (const char* key : {"expert_count", "attn_logit_softcapping", "final_logit_softcapping", "pooling_type",
                          "logit_scale", "residual_scale", "embedding_scale", "attention.clamp_kqv"}) {
    GgufWriter bad = file_;
    EXPECT_THAT(refusal(bad.number(std::string("llama.") + key, 8)),
                AllOf(HasSubstr(key), HasSubstr("not implemented")));
  }
  EXPECT_THAT(refusal(GgufWriter(file_).flag("llama.attention.causal", false)),
              AllOf(HasSubstr("'llama.attention.causal'"), HasSubstr("found false, expected true, or no such key"),
                    HasSubstr("take the folder of safetensors that the file was made from")));
  EXPECT_THAT(refusal(GgufWriter(file_).flag("llama.use_parallel_residual", true)), HasSubstr("use_parallel_residual"));
  EXPECT_THAT(refusal(GgufWriter(file_).integer("llama.attention.sliding_window", 32)), HasSubstr("sliding_window"));
  file_.integer("llama.expert_count", 0)
      .flag("llama.attention.causal", true)
      .integer("llama.attention.sliding_window", 64);
  EXPECT_EQ(refusal(file_), "");
}

TEST_F(GgufConfig, UnknownKeysAreRefusedAllAtOnceAndHarmlessOnesNamed) {
  file_.text("general.name", "small").integer("other.key", 3).text("llama.tensor_data_layout", "x");
  file_.texts("tokenizer.chat_templates", {"tools"}).text("tokenizer.chat_template.tools", "{{ tools }}");
  EXPECT_THAT(import(file_).unused_keys, ElementsAre("general.name", "other.key", "llama.tensor_data_layout",
                                                     "tokenizer.chat_templates", "tokenizer.chat_template.tools"));
  file_.number("llama.attention.scale", 2).integer("tokenizer.ggml.new_rule", 1).text("adapter.type", "lora");
  EXPECT_THAT(refusal(file_), AllOf(HasSubstr("'llama.attention.scale'"), HasSubstr("'tokenizer.ggml.new_rule'"),
                                    HasSubstr("'adapter.type'"), Not(HasSubstr("other.key"))));
}

TEST_F(GgufConfig, TensorsThatDoNotFit) {
  EXPECT_THAT(refusal(GgufWriter(file_).tensor("blk.1.attn_q.weight", {16, 16}, 1).tensor("x", {1}, 1)),
              AllOf(HasSubstr("'blk.1.attn_q.weight' is none of this architecture"), HasSubstr("'x'")));
  GgufWriter bad = file_;
  std::erase_if(bad.tensors, [](const auto& tensor) { return tensor.name == "blk.0.ffn_up.weight"; });
  EXPECT_THAT(refusal(bad), AllOf(HasSubstr("no tensor 'blk.0.ffn_up.weight'"), HasSubstr("(24, 16)")));
  EXPECT_THAT(
      refusal(GgufWriter(file_).tensor("blk.0.ffn_up.weight", {24, 16}, 1)),
      AllOf(HasSubstr("'blk.0.ffn_up.weight' has another shape"), HasSubstr("(16, 24)"), HasSubstr("(24, 16)")));
  EXPECT_THAT(refusal(GgufWriter(file_).integer("llama.vocab_size", 5)), HasSubstr("llama.vocab_size"));
  GgufWriter nan = file_;
  std::vector<float> values(16, 1);
  values[3] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_THAT(refusal(nan.tensor("blk.0.ffn_norm.weight", {16}, values)),
              AllOf(HasSubstr("not finite"), HasSubstr("blk.0.ffn_norm.weight")));
  EXPECT_THAT(refusal(GgufWriter(file_).tensor("blk.0.ffn_norm.weight", {16}, 1e6F), "fp16"),
              HasSubstr("infinite in F16"));
}

}  // namespace
}  // namespace steerlm
