#include "hf/config_keys.h"

#include <algorithm>
#include <string_view>

#include "hf/weight_kind.h"
#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

// Read by config.cpp, rope_config.cpp and check_values below.
constexpr std::string_view read_keys[] = {
    "model_type",
    "architectures",
    "vocab_size",
    "hidden_size",
    "intermediate_size",
    "num_hidden_layers",
    "num_attention_heads",
    "num_key_value_heads",
    "head_dim",
    "max_position_embeddings",
    "rope_theta",
    "rope_scaling",
    "rope_parameters",
    "original_max_position_embeddings",
    "attention_bias",
    "mlp_bias",
    "qkv_bias",
    "sliding_window",
    "use_sliding_window",
    "max_window_layers",
    "layer_types",
    "rms_norm_eps",
    "tie_word_embeddings",
    "initializer_range",
    "num_labels",
    "id2label",
    "label2id",
    "dtype",
    "torch_dtype",
    "auto_map",
    "bos_token_id",
    "eos_token_id",
    "hidden_act",
    "attention_dropout",
};

// Nothing of the forward pass of these families depends on them. Base class and generation defaults of Transformers 4
// and 5 (configuration_utils.py), what training and export programs leave in a config, and descriptions.
constexpr std::string_view harmless_keys[] = {
    // names, versions, places
    "_name_or_path",
    "_model_name_or_path",
    "name_or_path",
    "model_name",
    "_commit_hash",
    "transformers_version",
    "unsloth_version",
    "unsloth_fixed",
    "axolotl_version",
    "trl_version",
    "peft_version",
    "nemo_version",
    "transformers.js_config",
    "_from_model_config",
    "_diffusers_version",
    "finetuning_task",
    "task_specific_params",
    "problem_type",
    "custom_pipelines",
    "tokenizer_class",
    "processor_class",
    "is_llama_config",
    "license",
    "language",
    "tags",
    "library_name",
    "datasets",
    "base_model",
    "revision",
    "date",
    "seed",
    // how it is run: caches, attention kernels, outputs, parallel plans
    "use_cache",
    "cache_implementation",
    "cache_config",
    "attn_implementation",
    "_attn_implementation",
    "_attn_implementation_internal",
    "_attn_implementation_autoset",
    "_flash_attn_2_enabled",
    "use_flash_attn",
    "use_flash_attention",
    "use_flash_attention_2",
    "flash_attn_2_enabled",
    "pretraining_tp",
    "base_model_tp_plan",
    "base_model_pp_plan",
    "tp_plan",
    "pp_plan",
    "ep_plan",
    "output_attentions",
    "output_hidden_states",
    "return_dict",
    "output_scores",
    "return_dict_in_generate",
    "torchscript",
    "use_bfloat16",
    "fp16",
    "bf16",
    "fp32",
    "gradient_checkpointing",
    "gradient_checkpointing_kwargs",
    "neftune_noise_alpha",
    "use_gradient_checkpointing",
    "keys_to_ignore_at_inference",
    "tf_legacy_loss",
    "chunk_size_feed_forward",
    "logits_to_keep",
    "num_logits_to_keep",
    "device_map",
    "low_cpu_mem_usage",
    // other names and limits of the context, which only say how it was trained
    "model_max_length",
    "max_sequence_length",
    "max_seq_length",
    "max_seq_len",
    "seq_length",
    "seq_len",
    "n_ctx",
    "n_positions",
    "max_length",
    "min_length",
    // special tokens: the tokenizer's files say which ones are used
    "pad_token_id",
    "unk_token_id",
    "sep_token_id",
    "cls_token_id",
    "mask_token_id",
    "decoder_start_token_id",
    "forced_bos_token_id",
    "forced_eos_token_id",
    "bos_token",
    "eos_token",
    "pad_token",
    "unk_token",
    "prefix",
    "suffix",
    "image_token_id",
    "video_token_id",
    // sampling
    "do_sample",
    "early_stopping",
    "num_beams",
    "num_beam_groups",
    "diversity_penalty",
    "temperature",
    "top_k",
    "top_p",
    "typical_p",
    "repetition_penalty",
    "length_penalty",
    "no_repeat_ngram_size",
    "encoder_no_repeat_ngram_size",
    "bad_words_ids",
    "num_return_sequences",
    "remove_invalid_values",
    "exponential_decay_length_penalty",
    "suppress_tokens",
    "begin_suppress_tokens",
    "max_new_tokens",
    "generation_config",
    // training only
    "router_aux_loss_coef",
    "initializer_factor",
    "reward_baseline",
    "multiple_of",
    "ffn_dim_multiplier",
    "loss_type",
    "summary_first_dropout",
    "is_decoder",
};

// These values of keys change nothing; null does not either.
struct Neutral {
  const char* key;
  std::vector<Json> values;
};

const std::vector<Neutral>& neutral_keys() {
  static const std::vector<Neutral> keys{
      {"hidden_act", {"silu", "swish"}},
      {"hidden_activation", {"silu", "swish"}},
      {"attention_dropout", {0.0}},
      {"attn_pdrop", {0.0}},
      {"resid_pdrop", {0.0}},
      {"embd_pdrop", {0.0}},
      {"dropout", {0.0}},
      {"hidden_dropout", {0.0}},
      {"hidden_dropout_prob", {0.0}},
      {"attention_probs_dropout_prob", {0.0}},
      {"residual_dropout", {0.0}},
      {"classifier_dropout", {0.0}},
      {"partial_rotary_factor", {1.0}},
      {"rotary_pct", {1.0}},
      {"rope_interleaved", {false}},
      {"embedding_multiplier", {1.0}},
      {"residual_multiplier", {1.0}},
      {"logits_scaling", {1.0}},
      {"scale_emb", {1.0}},
      {"logit_scale", {}},
      {"attention_multiplier", {}},
      {"attn_logit_softcapping", {}},
      {"final_logit_softcapping", {}},
      {"query_pre_attn_scalar", {}},
      {"clip_qkv", {}},
      {"attention_chunk_size", {}},
      {"layer_scale", {}},
      {"alibi", {false}},
      {"bias", {false}},
      {"use_bias", {false}},
      {"parallel_attn", {false}},
      {"use_parallel_residual", {false}},
      {"use_qk_norm", {false}},
      {"use_mrope", {false}},
      {"use_dynamic_ntk", {false}},
      {"use_logn_attn", {false}},
      {"num_experts", {0}},
      {"num_local_experts", {0}},
      {"n_routed_experts", {0}},
      {"num_experts_per_tok", {0}},
      {"output_router_logits", {false}},
      {"is_encoder_decoder", {false}},
      {"add_cross_attention", {false}},
      {"cross_attention_hidden_size", {}},
      {"tie_encoder_decoder", {false}},
      {"pruned_heads", {Json::object()}},
  };
  return keys;
}

// What the family's own code does not have.
void check_family(JsonFields& reader, ModelFamily family) {
  if (family == ModelFamily::mistral || family == ModelFamily::qwen2) reader.only("attention_bias", {false});
  reader.only("qkv_bias", {family == ModelFamily::qwen2});
  if (family != ModelFamily::llama) reader.only("mlp_bias", {false});
  if (family == ModelFamily::llama) reader.only("sliding_window", {});
  if (family == ModelFamily::llama || family == ModelFamily::mistral)
    reader.only("use_sliding_window", {family == ModelFamily::mistral});
}

std::string maker_of(const Json& config) {
  for (const char* key : {"quant_method", "quant_algo", "quantization", "mode"}) {
    if (config.is_object() && config.contains(key) && config[key].is_string()) return config[key].get<std::string>();
  }
  if (config.is_object() && (config.contains("load_in_4bit") || config.contains("load_in_8bit"))) return "bitsandbytes";
  return shortened_json(config, 80);
}

}  // namespace

void refuse_quantisation(JsonFields& reader) {
  for (const char* key : {"quantization_config", "quantization", "compression_config", "quantize_config",
                          "quant_config", "bnb_config", "hqq_config"}) {
    const Json* config = reader.find(key);
    if (config == nullptr) continue;
    const bool mlx = key == std::string_view("quantization");
    const std::string maker = mlx ? "MLX, " + shortened_json(*config, 80) : maker_of(*config);
    reader.refuse(
        std::string("the weights are quantised, which '") + key + "' says, and quantised weights are not read", maker,
        "weights in fp32, bf16 or fp16", whole_weights_advice(maker));
  }
}

void check_config_keys(JsonFields& reader, ModelFamily family) {
  refuse_quantisation(reader);
  check_family(reader, family);
  for (const Neutral& neutral : neutral_keys()) reader.only(neutral.key, neutral.values);
  refuse_unknown_keys(reader.json(), reader.where(), "what the model computes", [](const std::string& key) {
    return std::ranges::find(read_keys, key) != std::end(read_keys) ||
           std::ranges::find(harmless_keys, key) != std::end(harmless_keys) ||
           std::ranges::any_of(neutral_keys(), [&](const Neutral& neutral) { return key == neutral.key; });
  });
}

}  // namespace steerlm
