#include "steerlm/hf/config.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <set>
#include <string>

#include "steerlm/core/error.h"
#include "steerlm/core/fs.h"
#include "steerlm/nn/rope.h"

namespace steerlm {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Json fixture(const std::string& name) {
  const Path path = Path(STEERLM_SOURCE_DIR) / "tests/fixtures/models" / name / "config.json";
  return parse_json(read_file(path, ExitCode::model, "config"), path.string(), ExitCode::model);
}

TEST(HfConfigTest, ReadsTheNewerSpelling) {
  const HfConfig config = parse_hf_config(fixture("untied"), "config.json");
  EXPECT_EQ(config.model.vocab_size, 400);
  EXPECT_EQ(config.model.hidden_size, 32);
  EXPECT_EQ(config.model.intermediate_size, 48);
  EXPECT_EQ(config.model.num_hidden_layers, 2);
  EXPECT_EQ(config.model.num_attention_heads, 4);
  EXPECT_EQ(config.model.num_key_value_heads, 2);
  EXPECT_EQ(config.model.head_dim, 8);
  EXPECT_EQ(config.model.max_position_embeddings, 256);
  EXPECT_EQ(config.model.rope_theta, 10000.0);
  EXPECT_EQ(config.model.rms_norm_eps, 1e-5);
  EXPECT_FALSE(config.model.tie_word_embeddings);
  EXPECT_EQ(config.head, HeadKind::language_model);
  EXPECT_EQ(config.dtype, "fp32");
  EXPECT_EQ(config.bos_token_id, 1);
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2));
}

TEST(HfConfigTest, ReadsTheOlderSpelling) {
  const HfConfig config = parse_hf_config(fixture("tied"), "config.json");
  EXPECT_EQ(config.model.rope_theta, 500000.0);
  EXPECT_EQ(config.model.head_dim, 16);
  EXPECT_TRUE(config.model.tie_word_embeddings);
  EXPECT_EQ(config.dtype, "fp32");
}

TEST(HfConfigTest, ReadsAClassifier) {
  const HfConfig config = parse_hf_config(fixture("classifier"), "config.json");
  EXPECT_EQ(config.head, HeadKind::regression);
  EXPECT_EQ(config.num_labels, 3);
}

TEST(HfConfigTest, TakesTransformersDefaults) {
  Json json = fixture("untied");
  for (const char* key :
       {"num_key_value_heads", "head_dim", "max_position_embeddings", "rope_parameters", "rms_norm_eps", "dtype",
        "tie_word_embeddings", "initializer_range", "architectures", "eos_token_id", "bos_token_id"}) {
    json.erase(key);
  }
  const HfConfig config = parse_hf_config(json, "config.json");
  EXPECT_EQ(config.model.num_key_value_heads, 4);
  EXPECT_EQ(config.model.head_dim, 8);
  EXPECT_EQ(config.model.max_position_embeddings, 2048);
  EXPECT_EQ(config.model.rope_theta, 10000.0);
  EXPECT_EQ(config.model.rms_norm_eps, 1e-6);
  EXPECT_EQ(config.dtype, "");
  EXPECT_EQ(config.bos_token_id, std::nullopt);
  EXPECT_TRUE(config.eos_token_ids.empty());
  json["architectures"] = {"LlamaForSequenceClassification"};
  EXPECT_EQ(parse_hf_config(json, "config.json").num_labels, 2);
}

TEST(HfConfigTest, AcceptsWhatChangesNothing) {
  Json json = fixture("untied");
  json["rope_scaling"] = {{"type", "default"}};
  json["pretraining_tp"] = 2;
  json["sliding_window"] = nullptr;
  json["layer_types"] = {"full_attention", "full_attention"};
  json["attention_dropout"] = 0;
  json["_name_or_path"] = "anything";
  json["dtype"] = "bfloat16";
  json["eos_token_id"] = {2, 7};
  const HfConfig config = parse_hf_config(json, "config.json");
  EXPECT_EQ(config.dtype, "bf16");
  EXPECT_THAT(config.eos_token_ids, ElementsAre(2, 7));
}

// Of Llama 2 and 3, Mistral, Qwen 2 and 3, SmolLM2, and of what PEFT, TRL, unsloth, axolotl and NeMo export.
TEST(HfConfigTest, KeysOfPublishedConfigsAreKnown) {
  Json json = fixture("untied");
  const Json more = Json::parse(R"({
      "_name_or_path": "x", "_attn_implementation_autoset": true, "add_cross_attention": false, "bad_words_ids": null,
      "base_model_tp_plan": {}, "begin_suppress_tokens": null, "chunk_size_feed_forward": 0, "cache_implementation": "x",
      "cross_attention_hidden_size": null, "decoder_start_token_id": null, "diversity_penalty": 0.0, "do_sample": false,
      "finetuning_task": null, "forced_eos_token_id": null, "gradient_checkpointing": false, "is_decoder": false,
      "is_encoder_decoder": false, "is_llama_config": true, "keys_to_ignore_at_inference": ["past_key_values"],
      "label2id": {"LABEL_0": 0}, "id2label": {"0": "LABEL_0"}, "max_sequence_length": 4096, "model_type": "llama",
      "nemo_version": "2.0", "output_attentions": false, "output_hidden_states": false, "pad_token_id": -1,
      "pretraining_tp": 1, "problem_type": null, "pruned_heads": {}, "return_dict": true, "rope_interleaved": false,
      "task_specific_params": null, "temperature": 1.0, "tf_legacy_loss": false, "tie_encoder_decoder": false,
      "tokenizer_class": null, "top_k": 50, "torchscript": false, "transformers.js_config": {"dtype": "q4"},
      "transformers_version": "4.51.3", "unsloth_fixed": true, "unsloth_version": "2025.3.1", "use_bfloat16": false,
      "use_cache": false, "use_mrope": false, "partial_rotary_factor": 1.0, "quantization_config": null,
      "unknown_but_null": null, "bias": false, "trl_version": "0.12"})");
  for (const auto& [key, value] : more.items()) json[key] = value;
  parse_hf_config(json, "config.json");
}

TEST(HfConfigTest, TheOriginalLengthBesideTheSectionWins) {
  Json json = fixture("untied");
  json["rope_parameters"] = {{"rope_type", "yarn"}, {"factor", 2.0}, {"original_max_position_embeddings", 64}};
  EXPECT_EQ(parse_hf_config(json, "config.json").model.rope_scaling.original_max_position_embeddings, 64);
  json["original_max_position_embeddings"] = 128;
  EXPECT_EQ(parse_hf_config(json, "config.json").model.rope_scaling.original_max_position_embeddings, 128);
}

TEST(HfConfigTest, LabelsNameTheRowsOfTheScore) {
  Json json = fixture("classifier");
  json["id2label"] = {{"1", "b"}, {"0", "a"}, {"2", "c"}};
  EXPECT_THAT(parse_hf_config(json, "config.json").label_names, ElementsAre("a", "b", "c"));
  json["id2label"] = {{"0", "a"}, {"1", "a"}, {"2", "c"}};
  EXPECT_THAT(parse_hf_config(json, "config.json").label_names, ElementsAre("LABEL_0", "LABEL_1", "LABEL_2"));
  json.erase("id2label");
  json["num_labels"] = 1;
  EXPECT_THAT(parse_hf_config(json, "config.json").label_names, ElementsAre("LABEL_0"));
}

struct BadConfig {
  const char* key;
  const char* value;  // JSON; "-" removes the key
  const char* expected;
};

class BadHfConfig : public ::testing::TestWithParam<BadConfig> {};

TEST_P(BadHfConfig, IsRefusedWithItsReason) {
  Json json = fixture("classifier");
  if (std::string(GetParam().value) == "-") {
    json.erase(GetParam().key);
  } else {
    json[GetParam().key] = Json::parse(GetParam().value);
  }
  try {
    parse_hf_config(json, "dir/config.json");
    FAIL() << GetParam().key << " " << GetParam().value;
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::model);
    EXPECT_THAT(error.what(), HasSubstr("dir/config.json"));
    EXPECT_THAT(error.what(), HasSubstr(GetParam().expected));
  }
}

INSTANTIATE_TEST_SUITE_P(
    All, BadHfConfig,
    ::testing::Values(
        BadConfig{"model_type", "-", "'model_type' is missing"},
        BadConfig{"model_type", "\"gemma2\"",
                  "the model type is not implemented (found \"gemma2\", expected llama or mistral"},
        BadConfig{"model_type", "\"qwen2\"",
                  "the architecture is not implemented (found "
                  "\"LlamaForSequenceClassification\", expected Qwen2ForCausalLM or"},
        BadConfig{"model_type", "7", "the model type is not implemented (found 7"},
        BadConfig{"num_local_experts", "8", "'num_local_experts' is not implemented (found 8"},
        BadConfig{"final_logit_softcapping", "30.0", "'final_logit_softcapping' is not implemented"},
        BadConfig{"embedding_multiplier", "12.0", "'embedding_multiplier' is not implemented"},
        BadConfig{"architectures", "[\"LlamaModel\"]",
                  "the architecture is a bare trunk, which neither writes text nor scores (found \"LlamaModel\""},
        BadConfig{"architectures", "\"LlamaForCausalLM\"", "'architectures'"},
        BadConfig{"hidden_act", "\"gelu\"",
                  "'hidden_act' is not implemented (found \"gelu\", expected \"silu\" or \"swish\" "
                  "or null)"},
        BadConfig{"attention_bias", "1", "'attention_bias' (found 1, expected true or false)"},
        BadConfig{"mlp_bias", "\"no\"", "'mlp_bias' (found \"no\", expected true or false)"},
        BadConfig{"attention_dropout", "0.1", "'attention_dropout' is not implemented"},
        BadConfig{"sliding_window", "4096", "'sliding_window' is not implemented"},
        BadConfig{"quantization_config", "{\"bits\":4}", "the weights are quantised, which 'quantization_config' says"},
        BadConfig{"quantization_config", "{\"quant_method\":\"awq\"}", "quantised weights are not read (found awq"},
        BadConfig{"quantization_config", "{\"load_in_4bit\":true}",
                  "quantised weights are not read (found bitsandbytes"},
        BadConfig{"quantization", "{\"bits\":4,\"group_size\":64}", "(found MLX, {\"bits\":4"},
        BadConfig{"quantization", "{\"bits\":4}", "mlx_lm.convert --dequantize"},
        BadConfig{"compression_config", "{\"quant_method\":\"compressed-tensors\"}", "(found compressed-tensors"},
        BadConfig{"use_new_norm", "true",
                  "the key 'use_new_norm' is not known, and might change what the model computes (found true)"},
        BadConfig{"residual_scale", "0.5", "the key 'residual_scale' is not known"},
        BadConfig{"no_rope_layers", "[1,0]", "the key 'no_rope_layers' is not known"},
        BadConfig{"rope_interleaved", "true", "'rope_interleaved' is not implemented"},
        BadConfig{"use_mrope", "true", "'use_mrope' is not implemented"},
        BadConfig{"hidden_activation", "\"gelu\"", "'hidden_activation' is not implemented"},
        BadConfig{"is_encoder_decoder", "true", "'is_encoder_decoder' is not implemented"},
        BadConfig{"rope_parameters", "{\"rope_type\":\"default\",\"rope_theta\":1e4,\"mrope_section\":[1,2]}",
                  "rope_parameters: the key 'mrope_section' is not known"},
        BadConfig{"partial_rotary_factor", "0.5", "'partial_rotary_factor' is not implemented"},
        BadConfig{"layer_types", "[\"sliding_attention\",\"full_attention\"]",
                  "'layer_types' asks for windows, but there is no 'sliding_window'"},
        BadConfig{"layer_types", "[\"full_attention\",\"chunked_attention\"]",
                  "'layer_types' is not implemented (found \"chunked_attention\""},
        BadConfig{"layer_types", "[\"full_attention\"]", "a list of 2 names"},
        BadConfig{"rope_scaling", "{\"rope_type\":\"longrope\",\"factor\":8.0}",
                  "rope_scaling: 'rope_type' is not implemented (found \"longrope\""},
        BadConfig{"rope_scaling", "{\"rope_type\":\"linear\",\"type\":\"yarn\",\"factor\":8.0}",
                  "rope_scaling: 'rope_type' and 'type' do not agree"},
        BadConfig{"rope_scaling", "{\"rope_type\":\"llama3\",\"factor\":8.0}",
                  "rope_scaling: 'low_freq_factor' is missing"},
        BadConfig{"rope_scaling", "{\"type\":\"linear\",\"factor\":2.0}",
                  "'rope_parameters' and 'rope_scaling' do not agree"},
        BadConfig{"rope_parameters", "{\"rope_type\":\"yarn\",\"rope_theta\":1e4}",
                  "rope_parameters: 'factor' is missing"},
        BadConfig{"rope_parameters", "{\"rope_type\":\"linear\",\"factor\":0.5}",
                  "rope_parameters: 'factor' (found 0.5, expected a number from 1)"},
        BadConfig{"rope_parameters", "{\"full_attention\":{\"rope_theta\":1e4}}",
                  "for kinds of layers is not implemented"},
        BadConfig{"rope_parameters", "3", "'rope_parameters' (found 3"},
        BadConfig{"rope_theta", "500000.0", "'rope_theta' is given twice"},
        BadConfig{"rope_theta", "0", "'rope_theta' (found 0, expected a number above 0)"},
        BadConfig{"vocab_size", "-", "'vocab_size' is missing"},
        BadConfig{"vocab_size", "0", "'vocab_size' (found 0, expected an integer from 1"},
        BadConfig{"vocab_size", "9223372036854775807", "'vocab_size' (found 9223372036854775807"},
        BadConfig{"vocab_size", "18446744073709551615", "'vocab_size'"},
        BadConfig{"hidden_size", "-32", "'hidden_size' (found -32"},
        BadConfig{"hidden_size", "32.0", "'hidden_size' (found 32.0"},
        BadConfig{"hidden_size", "\"32\"", "'hidden_size' (found \"32\""},
        BadConfig{"intermediate_size", "4611686018427387904", "'intermediate_size'"},
        BadConfig{"num_hidden_layers", "1000000000", "'num_hidden_layers'"},
        BadConfig{"num_attention_heads", "0", "'num_attention_heads'"},
        BadConfig{"num_key_value_heads", "3", "'num_key_value_heads' does not divide"},
        BadConfig{"head_dim", "7", "an even number"},
        BadConfig{"max_position_embeddings", "-1", "'max_position_embeddings'"},
        BadConfig{"rms_norm_eps", "-1e-5", "'rms_norm_eps'"}, BadConfig{"rms_norm_eps", "true", "'rms_norm_eps'"},
        BadConfig{"tie_word_embeddings", "1", "'tie_word_embeddings' (found 1, expected true or false)"},
        BadConfig{"dtype", "\"float8\"", "'dtype' of the weights (found \"float8\""},
        BadConfig{"id2label", "{}", "'id2label'"},
        BadConfig{"num_labels", "5", "'num_labels' and 'id2label' do not agree (found 5, expected 3)"},
        BadConfig{"eos_token_id", "400", "'eos_token_id' (found 400, expected ids from 0 to 399)"},
        BadConfig{"eos_token_id", "[2,-1]", "'eos_token_id'"}, BadConfig{"eos_token_id", "{}", "'eos_token_id'"}),
    [](const auto& param) { return std::to_string(param.index) + "_" + param.param.key; });

Json family(const std::string& name, const char* file = "config.json") {
  const Path path = Path(STEERLM_SOURCE_DIR) / "tests/fixtures/families" / name / file;
  return parse_json(read_file(path, ExitCode::model, "config"), path.string(), ExitCode::model);
}

class HfFamilyConfig : public ::testing::TestWithParam<const char*> {};

TEST_P(HfFamilyConfig, IsReadInBothSpellingsAndWrittenSoThatItReadsBack) {
  const HfConfig config = parse_hf_config(family(GetParam()), "config.json");
  std::vector<std::string> labels;
  if (config.head == HeadKind::regression) labels = {"a", "b", "c"};
  const Json written = dump_hf_config(config, labels);
  EXPECT_EQ(dump_hf_config(parse_hf_config(written, "written"), labels), written);
  EXPECT_EQ(written.at("architectures"), family(GetParam()).at("architectures"));
  // Of these tools/make_family_fixtures.py writes the newer spelling alone.
  const std::set<std::string> newer_alone{"mistral_classifier", "qwen2_classifier", "qwen3_classifier"};
  if (newer_alone.contains(GetParam())) return;
  EXPECT_EQ(dump_hf_config(parse_hf_config(family(GetParam(), "config_v4.json"), "older"), labels), written);
}

INSTANTIATE_TEST_SUITE_P(Families, HfFamilyConfig,
                         ::testing::Values("llama2", "llama3", "llama31", "linear", "dynamic", "yarn", "yarn_explicit",
                                           "yarn_factor", "mistral", "mistral_full", "qwen2", "qwen2_windows", "qwen3",
                                           "llama_bias", "llama_classifier", "mistral_classifier", "qwen2_classifier",
                                           "qwen3_classifier"),
                         [](const auto& param) { return std::string(param.param); });

TEST(HfConfigTest, FamiliesSayWhatIsComputed) {
  const ModelConfig mistral = parse_hf_config(family("mistral"), "config.json").model;
  EXPECT_EQ(mistral.window(0), 8);
  EXPECT_EQ(mistral.head_dim, 16);
  EXPECT_EQ(parse_hf_config(family("mistral_full"), "config.json").model.window(1), 0);
  const ModelConfig qwen2 = parse_hf_config(family("qwen2_windows"), "config.json").model;
  EXPECT_THAT(qwen2.windows, ElementsAre(0, 8, 8));
  EXPECT_TRUE(qwen2.qkv_bias);
  EXPECT_FALSE(qwen2.o_bias);
  EXPECT_TRUE(parse_hf_config(family("qwen3"), "config.json").model.qk_norm);
  const ModelConfig biased = parse_hf_config(family("llama_bias"), "config.json").model;
  EXPECT_TRUE(biased.qkv_bias && biased.o_bias && biased.mlp_bias);
}

TEST(HfConfigTest, MissingKeysMeanWhatTheFamilysCodeMakesOfThem) {
  Json json = family("mistral");
  for (const char* key : {"sliding_window", "head_dim", "num_key_value_heads", "layer_types"}) json.erase(key);
  json["num_attention_heads"] = 16;
  const ModelConfig mistral = parse_hf_config(json, "config.json").model;
  EXPECT_EQ(mistral.window(0), 4096);
  EXPECT_EQ(mistral.head_dim, 2);
  EXPECT_EQ(mistral.num_key_value_heads, 8);
  json = family("qwen3");
  json.erase("head_dim");
  EXPECT_EQ(parse_hf_config(json, "config.json").model.head_dim, 128);
  json["head_dim"] = nullptr;
  EXPECT_EQ(parse_hf_config(json, "config.json").model.head_dim, 8);
}

TEST(HfConfigTest, AStretchedRotaryEmbeddingReachesFurther) {
  EXPECT_EQ(parse_hf_config(family("llama2"), "config.json").model.context_length(), 128);
  EXPECT_EQ(parse_hf_config(family("llama31"), "config.json").model.context_length(), 256);
  const ModelConfig linear = parse_hf_config(family("linear"), "config.json").model;
  EXPECT_EQ(linear.context_length(), 4 * linear.max_position_embeddings);
  const ModelConfig yarn = parse_hf_config(family("yarn"), "config.json").model;
  EXPECT_EQ(yarn.context_length(), 128);
}

// The second frequency is Transformers' (5.24): of the keys of yarn this one alone is false where it is null, and true
// where it is missing.
TEST(HfConfigTest, ATruncateOfNullIsFalse) {
  for (const char* section : {"rope_parameters", "rope_scaling"}) {
    Json json = family("yarn");
    json[section] = Json(json["rope_parameters"]);
    if (std::string(section) != "rope_parameters") json.erase("rope_parameters");
    const auto second = [&] { return inverse_frequencies(parse_hf_config(json, "config.json").model, 1).at(1); };
    EXPECT_FLOAT_EQ(second(), 0.19764235615730286F);
    for (const Json& value : {Json(nullptr), Json(false)}) {
      json[section]["truncate"] = value;
      EXPECT_FLOAT_EQ(second(), 0.14849025011062622F) << value;
    }
    json[section]["truncate"] = true;
    for (const char* key : {"beta_fast", "beta_slow", "mscale", "mscale_all_dim", "attention_factor"})
      json[section][key] = nullptr;
    EXPECT_FLOAT_EQ(second(), 0.19764235615730286F);
  }
}

TEST(HfConfigTest, HeadsMustDivideTheWidth) {
  Json json = fixture("untied");
  json.erase("head_dim");
  json["num_attention_heads"] = 5;
  try {
    parse_hf_config(json, "config.json");
    FAIL();
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("'hidden_size' is not a multiple of 'num_attention_heads' (found 32 and 5"));
  }
}

TEST(HfConfigTest, ARecipeHasTheSameLimits) {
  ModelConfig model = parse_hf_config(fixture("untied"), "config.json").model;
  check_model_config(model, "model.init");
  model.hidden_size = 1 << 30;
  try {
    check_model_config(model, "model.init");
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ExitCode::recipe);
    EXPECT_THAT(error.what(), HasSubstr("model.init: 'hidden_size' (found 1073741824"));
  }
}

TEST(HfConfigTest, ANonObjectIsRefused) {
  EXPECT_THROW(parse_hf_config(Json::array(), "config.json"), Error);
  EXPECT_THROW(parse_hf_config(Json("llama"), "config.json"), Error);
}

TEST(HfConfigTest, WrittenConfigsReadBack) {
  HfConfig config = parse_hf_config(fixture("tied"), "config.json");
  config.dtype = "bf16";
  config.eos_token_ids = {2, 5};
  config.model.rms_norm_eps = 3e-6;
  const Json json = dump_hf_config(config, {});
  const HfConfig back = parse_hf_config(json, "config.json");
  EXPECT_EQ(dump_hf_config(back, {}), json);
  EXPECT_EQ(back.model.rope_theta, 500000.0);
  EXPECT_EQ(back.model.rms_norm_eps, 3e-6);
  EXPECT_EQ(back.eos_token_ids, config.eos_token_ids);
  EXPECT_EQ(json["architectures"][0], "LlamaForCausalLM");
  EXPECT_EQ(json["torch_dtype"], "bfloat16");
  EXPECT_EQ(parse_eos_token_ids(dump_generation_config(config), 408, "g"), config.eos_token_ids);
}

TEST(HfConfigTest, AWrittenPredictorNamesItsAttributes) {
  HfConfig config = parse_hf_config(fixture("classifier"), "config.json");
  const Json json = dump_hf_config(config, {"quality", "humor", "toxicity"});
  EXPECT_EQ(json["architectures"][0], "LlamaForSequenceClassification");
  EXPECT_EQ(json["num_labels"], 3);
  EXPECT_EQ(json["id2label"]["1"], "humor");
  EXPECT_EQ(json["label2id"]["toxicity"], 2);
  EXPECT_EQ(parse_hf_config(json, "config.json").num_labels, 3);
}

}  // namespace
}  // namespace steerlm
