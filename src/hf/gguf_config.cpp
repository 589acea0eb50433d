#include "hf/gguf_config.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

constexpr std::int64_t most = 1 << 30;  // parse_hf_config has narrower limits

ModelFamily read_family(GgufKeys& keys) {
  const std::string type = keys.optional_text("general.type").value_or("model");
  if (type != "model")
    keys.refuse("general.type", "says that the file is no model", "'" + type + "'", "'model'",
                "name the model's own file");
  if (keys.integer("split.count", 0, most, 1) > 1) {
    keys.refuse("split.count", "says that the file is one part of a model", "", "1",
                "join the parts first: gguf-split --merge of llama.cpp");
  }
  const std::string name = keys.text("general.architecture");
  for (const ModelFamily family : {ModelFamily::llama, ModelFamily::qwen2, ModelFamily::qwen3}) {
    if (enum_name(family) == name) return family;
  }
  keys.refuse("general.architecture", "names a model that is not implemented", "'" + name + "'",
              "llama, qwen2 or qwen3");
}

bool has_tensor(const GgufKeys& keys, const std::string& name) { return keys.file().find_tensor(name) != nullptr; }

// config.json has one key for the four biases of attention and one for the three of the FFN.
void read_biases(const GgufKeys& keys, ModelFamily family, Json& json) {
  const bool qkv = has_tensor(keys, "blk.0.attn_q.bias"), o = has_tensor(keys, "blk.0.attn_output.bias");
  if (family == ModelFamily::qwen2) return;  // always q, k, v; another one is a tensor that is left over
  if (qkv != o) {
    fail(ExitCode::model,
         {.what = std::string("the model has biases of ") + (qkv ? "q, k and v" : "the attention's output") +
                  " alone, which " + std::string(enum_name(family)) + " cannot have in config.json",
          .where = keys.where()});
  }
  json["attention_bias"] = qkv;
  if (family == ModelFamily::llama) json["mlp_bias"] = has_tensor(keys, "blk.0.ffn_gate.bias");
}

// llama.cpp takes a factor without a type for linear scaling.
void read_rope_scaling(GgufKeys& keys, const std::string& prefix, Json& json) {
  const std::string scaling = prefix + "rope.scaling.";
  const std::string older = prefix + "rope.scale_linear";
  const double factor = keys.positive(keys.has(scaling + "factor") ? scaling + "factor" : older, 1.0);
  const std::string type = keys.optional_text(scaling + "type").value_or("linear");
  for (const char* key : {"attn_factor", "yarn_attn_factor", "yarn_ext_factor"}) keys.only(scaling + key, 1);
  keys.only(scaling + "yarn_log_multiplier", 0);
  const auto original = keys.optional_integer(scaling + "original_context_length", 1, most);
  const double beta_fast = keys.positive(scaling + "yarn_beta_fast", 32.0);
  const double beta_slow = keys.positive(scaling + "yarn_beta_slow", 1.0);
  if (type == "none" || (type == "linear" && factor == 1)) return;
  if (type != "linear" && type != "yarn")
    keys.refuse(scaling + "type", "is not implemented", "'" + type + "'", "none, linear or yarn");
  Json& section = json["rope_scaling"] = {{"rope_type", type}, {"factor", factor}};
  if (type == "linear") return;
  if (!original) keys.refuse(scaling + "original_context_length", "is missing", "", "an integer, for yarn");
  section["original_max_position_embeddings"] = *original;
  section["beta_fast"] = beta_fast;
  section["beta_slow"] = beta_slow;
}

// What frequency i = theta^(-2i/head_dim) is divided by under Llama 3.1's scaling (Transformers,
// modeling_rope_utils.py, _compute_llama3_parameters), in fp64.
double llama3_divisor(double frequency, const RopeScaling& scaling) {
  const double turns =  // within the original length
      static_cast<double>(scaling.original_max_position_embeddings) * frequency / (2 * std::numbers::pi);
  if (turns > scaling.high_freq_factor) return 1;
  if (turns < scaling.low_freq_factor) return scaling.factor;
  const double smooth = (turns - scaling.low_freq_factor) / (scaling.high_freq_factor - scaling.low_freq_factor);
  return 1 / ((1 - smooth) / scaling.factor + smooth);
}

// rope_freqs.weight: the divisors themselves. llama.cpp's converter writes no other trace of Llama 3.1's scaling, so it
// is recognised: its factor is the largest divisor, and the other three numbers are those of every published model
// (Llama 3.1, 3.2, 3.3).
void read_rope_divisors(const GgufKeys& keys, double theta, std::int64_t head_dim, Json& json) {
  const GgufTensor* tensor = keys.file().find_tensor("rope_freqs.weight");
  if (tensor == nullptr) return;
  const auto refuse = [&](std::string what, std::string found, std::string expected) {
    fail(ExitCode::model, {.what = "tensor 'rope_freqs.weight': " + std::move(what),
                           .where = keys.where(),
                           .found = std::move(found),
                           .expected = std::move(expected)});
  };
  if (tensor->shape != std::vector<std::int64_t>{head_dim / 2})
    refuse("its shape", std::to_string(tensor->bytes) + " bytes", std::to_string(head_dim / 2) + " numbers");
  const at::Tensor divisors = keys.file().read(*tensor);
  const float* values = divisors.const_data_ptr<float>();
  RopeScaling scaling{.kind = RopeKind::llama3,
                      .factor = *std::max_element(values, values + divisors.numel()),
                      .original_max_position_embeddings = 8192,
                      .low_freq_factor = 1,
                      .high_freq_factor = 4};
  if (std::all_of(values, values + divisors.numel(), [](float value) { return value == 1; })) return;
  for (std::int64_t i = 0; i < divisors.numel(); ++i) {
    const double frequency = std::pow(theta, -2.0 * static_cast<double>(i) / static_cast<double>(head_dim));
    const double expected = llama3_divisor(frequency, scaling);
    if (!(std::abs(static_cast<double>(values[i]) - expected) <= 1e-4 * expected)) {
      refuse("these frequencies are not those of Llama 3.1's rotary scaling, the only kind that is implemented",
             std::to_string(values[i]) + " at " + std::to_string(i), std::to_string(expected));
    }
  }
  if (json.contains("rope_scaling")) refuse("the file has rotary scaling of another kind too", "", "");
  json["rope_scaling"] = {{"rope_type", "llama3"},
                          {"factor", scaling.factor},
                          {"low_freq_factor", scaling.low_freq_factor},
                          {"high_freq_factor", scaling.high_freq_factor},
                          {"original_max_position_embeddings", scaling.original_max_position_embeddings}};
}

// Of other models, or of variants of these three.
void refuse_variants(GgufKeys& keys, const std::string& prefix, std::int64_t context) {
  for (const char* key : {"expert_count", "expert_used_count", "expert_shared_count", "attn_logit_softcapping",
                          "final_logit_softcapping", "use_parallel_residual", "nextn_predict_layers", "pooling_type",
                          "attention.max_alibi_bias", "attention.clamp_kqv"})
    keys.only(prefix + key, 0);
  for (const char* key : {"attention.causal", "logit_scale", "residual_scale", "embedding_scale"})
    keys.only(prefix + key, 1);
  const std::string window = prefix + "attention.sliding_window";
  if (const auto size = keys.optional_integer(window, 0, most); size && *size != 0 && *size < context)
    keys.refuse(window, "is not implemented for this architecture", std::to_string(*size), "0, or no such key");
}

}  // namespace

HfConfig read_gguf_config(GgufKeys& keys) {
  const ModelFamily family = read_family(keys);
  const std::string prefix = std::string(enum_name(family)) + ".";
  const auto integer = [&](const char* key, std::optional<std::int64_t> otherwise = std::nullopt) {
    return keys.integer(prefix + key, 1, most, otherwise);
  };
  if (const auto version = keys.optional_integer("general.quantization_version", 0, most); version && *version != 2)
    keys.refuse("general.quantization_version", "is not implemented", std::to_string(*version), "2");
  Json json;
  json["model_type"] = enum_name(family);
  json["max_position_embeddings"] = integer("context_length");
  json["hidden_size"] = integer("embedding_length");
  json["num_hidden_layers"] = integer("block_count");
  json["intermediate_size"] = integer("feed_forward_length");
  const std::int64_t heads = integer("attention.head_count");
  json["num_attention_heads"] = heads;
  json["num_key_value_heads"] = integer("attention.head_count_kv", heads);
  const std::int64_t head_dim = integer("attention.key_length", json["hidden_size"].get<std::int64_t>() / heads);
  json["head_dim"] = head_dim;
  for (const char* key : {"attention.value_length", "rope.dimension_count"}) {
    if (integer(key, head_dim) != head_dim) {
      keys.refuse(prefix + key, "is not the width of a head, which is not implemented", std::to_string(integer(key)),
                  std::to_string(head_dim));
    }
  }
  json["rms_norm_eps"] = keys.positive(prefix + "attention.layer_norm_rms_epsilon");
  const double theta = keys.positive(prefix + "rope.freq_base", 10000.0);
  json["rope_theta"] = theta;
  read_rope_scaling(keys, prefix, json);
  read_rope_divisors(keys, theta, head_dim, json);
  read_biases(keys, family, json);
  refuse_variants(keys, prefix, json["max_position_embeddings"].get<std::int64_t>());

  const GgufTensor* embedding = keys.file().find_tensor("token_embd.weight");
  if (embedding == nullptr) {
    fail(ExitCode::model, {.what = "the file has no tensor 'token_embd.weight'",
                           .where = keys.where(),
                           .found = std::to_string(keys.file().tensors().size()) + " tensors",
                           .advice = "name the file of a whole model"});
  }
  const std::int64_t rows = embedding->shape.front();
  if (integer("vocab_size", rows) != rows)
    keys.refuse(prefix + "vocab_size", "and the rows of token_embd.weight do not agree",
                std::to_string(integer("vocab_size")), std::to_string(rows));
  json["vocab_size"] = rows;
  json["tie_word_embeddings"] = !has_tensor(keys, "output.weight");
  if (family == ModelFamily::qwen2 || family == ModelFamily::qwen3) json["use_sliding_window"] = false;
  return parse_hf_config(json, keys.where());
}

void check_unused_gguf_keys(const GgufKeys& keys) {
  // Of tokenizers: what only the other kind of model has, scores or merges; ids of roles that no text is encoded with;
  // other chat templates; what sampling should leave out.
  constexpr std::string_view harmless_starts[] = {"general.", "tokenizer.ggml.fim_", "tokenizer.chat_template."};
  constexpr std::string_view harmless[] = {"rope.scaling.finetuned",
                                           "tensor_data_layout",
                                           "tokenizer.ggml.scores",
                                           "tokenizer.ggml.merges",
                                           "tokenizer.ggml.prefix_token_id",
                                           "tokenizer.ggml.suffix_token_id",
                                           "tokenizer.ggml.middle_token_id",
                                           "tokenizer.ggml.separator_token_id",
                                           "tokenizer.ggml.seperator_token_id",
                                           "tokenizer.ggml.mask_token_id",
                                           "tokenizer.ggml.cls_token_id",
                                           "tokenizer.ggml.suppress_tokens",
                                           "tokenizer.chat_templates",
                                           "tokenizer.huggingface.json"};
  const std::string* architecture = std::get_if<std::string>(keys.file().find_value("general.architecture"));
  std::vector<Fault> faults;
  for (const std::string& key : keys.unused()) {
    const bool of_model = key.starts_with(*architecture + ".");
    const std::string_view name = of_model ? std::string_view(key).substr(architecture->size() + 1) : key;
    if (std::ranges::find(harmless, name) != std::end(harmless)) continue;
    if (std::ranges::any_of(harmless_starts, [&](std::string_view start) { return key.starts_with(start); })) continue;
    // What is of neither the model nor its tokenizer, llama.cpp does not read for them either.
    if (!of_model && !key.starts_with("tokenizer.") && !key.starts_with("adapter.")) continue;
    faults.push_back({.what = "the key '" + key + "' is not known, and might change what the model computes",
                      .where = keys.where()});
  }
  if (!faults.empty()) throw Error(ExitCode::model, std::move(faults));
}

}  // namespace steerlm
