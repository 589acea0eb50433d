#pragma once

#include <algorithm>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "steerlm/core/fields.h"

namespace steerlm {

enum class Precision { automatic, fp32, bf16 };
template <>
struct EnumNames<Precision> {
  static constexpr std::array<std::pair<Precision, std::string_view>, 3> table{
      {{Precision::automatic, "auto"}, {Precision::fp32, "fp32"}, {Precision::bf16, "bf16"}}};
};

// How a recipe and a command line name a device.
inline constexpr std::string_view device_names = "auto, cpu, cuda or cuda:N";
inline bool is_device_name(std::string_view name) {
  if (name == "auto" || name == "cpu" || name == "cuda") return true;
  if (!name.starts_with("cuda:")) return false;
  const std::string_view number = name.substr(5);
  return !number.empty() && number.size() <= 4 && number.find_first_not_of("0123456789") == std::string_view::npos &&
         (number == "0" || number.front() != '0');
}

// What `auto` stands for: bf16 on a GPU, fp32 elsewhere.
inline Precision settled_precision(Precision precision, std::string_view device) {
  if (precision != Precision::automatic) return precision;
  return device.starts_with("cuda") ? Precision::bf16 : Precision::fp32;
}

// How a Hugging Face folder spells itself (model_type). What is computed is said by the other members of ModelConfig
// alone.
enum class ModelFamily { llama, mistral, qwen2, qwen3 };
template <>
struct EnumNames<ModelFamily> {
  static constexpr std::array<std::pair<ModelFamily, std::string_view>, 4> table{{{ModelFamily::llama, "llama"},
                                                                                  {ModelFamily::mistral, "mistral"},
                                                                                  {ModelFamily::qwen2, "qwen2"},
                                                                                  {ModelFamily::qwen3, "qwen3"}}};
};

// How rotary frequencies are stretched for contexts longer than those of pre-training; names and formulas are those of
// Transformers' modeling_rope_utils.py. linear: Chen et al. 2023; dynamic: NTK-aware, by the length of the sequence;
// yarn: Peng et al. 2023; llama3: Llama 3.1.
enum class RopeKind { plain, linear, dynamic, yarn, llama3 };
template <>
struct EnumNames<RopeKind> {
  static constexpr std::array<std::pair<RopeKind, std::string_view>, 5> table{{{RopeKind::plain, "default"},
                                                                               {RopeKind::linear, "linear"},
                                                                               {RopeKind::dynamic, "dynamic"},
                                                                               {RopeKind::yarn, "yarn"},
                                                                               {RopeKind::llama3, "llama3"}}};
};

struct RopeScaling {
  RopeKind kind = RopeKind::plain;
  double factor = 1;                                  // all but plain
  std::int64_t original_max_position_embeddings = 0;  // yarn, llama3
  double low_freq_factor = 1, high_freq_factor = 4;   // llama3
  double beta_fast = 32, beta_slow = 1;               // yarn
  std::optional<double>
      attention_factor;  // yarn: of cos and sin; absent: from mscale and mscale_all_dim, else from factor
  std::optional<double> mscale, mscale_all_dim;  // yarn
  bool truncate = true;                          // yarn: the bounds of the ramp are whole dimensions
};

// A decoder-only transformer of the Llama family; the names are those of Hugging Face's config.json. The members that
// fields() lists are those that a fresh model is made from; the others come with a folder.
struct ModelConfig {
  std::int64_t vocab_size = 0;  // 0 in a recipe: the tokenizer's
  std::int64_t hidden_size = 128;
  std::int64_t intermediate_size = 0;  // 0 in a recipe: 8/3 hidden_size, rounded up to a multiple of 32
  std::int64_t num_hidden_layers = 4;
  std::int64_t num_attention_heads = 4;
  std::int64_t num_key_value_heads = 0;      // 0 in a recipe: num_attention_heads
  std::int64_t head_dim = 0;                 // 0: hidden_size / num_attention_heads
  std::int64_t max_position_embeddings = 0;  // 0 in a recipe: the larger of 4096 and data.max_tokens
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = false;
  double initializer_range = 0.02;

  ModelFamily family = ModelFamily::llama;
  bool qkv_bias = false;
  bool o_bias = false;
  bool mlp_bias = false;
  bool qk_norm = false;  // RMSNorm of each query and key head before rotation (Qwen3)
  std::vector<std::int64_t>
      windows;  // one a layer: a token sees so many tokens, itself included; 0: all before it. Empty: all 0
  RopeScaling rope_scaling;

  std::int64_t window(std::int64_t layer) const { return windows.empty() ? 0 : windows[static_cast<size_t>(layer)]; }
  // Longest sequence that the model is meant for. A stretched rotary embedding reaches beyond max_position_embeddings,
  // but for llama3, where the config counts the stretched length.
  std::int64_t context_length() const {
    const double factor = rope_scaling.factor;
    const auto stretched = [factor](std::int64_t length) {
      return static_cast<std::int64_t>(static_cast<double>(length) * factor);
    };
    if (rope_scaling.kind == RopeKind::yarn)
      return std::max(max_position_embeddings, stretched(rope_scaling.original_max_position_embeddings));
    const bool counts_original = rope_scaling.kind == RopeKind::linear || rope_scaling.kind == RopeKind::dynamic;
    return counts_original ? stretched(max_position_embeddings) : max_position_embeddings;
  }

  void fields(auto& field) {
    field("vocab_size", vocab_size, between(0, 1e7), "rows of the embedding; 0: the tokenizer's pieces");
    field("hidden_size", hidden_size, between(1, largest_count::width), "width of the model");
    field("intermediate_size", intermediate_size, between(0, largest_count::width),
          "width of the feed-forward layer; 0: 8/3 of hidden_size");
    field("num_hidden_layers", num_hidden_layers, between(1, 10000), "number of blocks");
    field("num_attention_heads", num_attention_heads, between(1, 10000), "query heads");
    field("num_key_value_heads", num_key_value_heads, between(0, 10000),
          "key and value heads; 0: as many as query heads");
    field("head_dim", head_dim, between(0, largest_count::width),
          "width of a head; 0: hidden_size / num_attention_heads");
    field("max_position_embeddings", max_position_embeddings, between(0, 1e7),
          "longest context; 0: the larger of 4096 and data.max_tokens");
    field("rope_theta", rope_theta, above(0), "base of the rotary frequencies");
    field("rms_norm_eps", rms_norm_eps, above(0), "epsilon of RMSNorm");
    field("tie_word_embeddings", tie_word_embeddings, "the output layer is the embedding");
    field("initializer_range", initializer_range, Range{0, 1000, true}, "standard deviation of fresh weights");
  }
};

enum class HeadKind { language_model, regression };
template <>
struct EnumNames<HeadKind> {
  static constexpr std::array<std::pair<HeadKind, std::string_view>, 2> table{
      {{HeadKind::language_model, "language_model"}, {HeadKind::regression, "regression"}}};
};
// mse is of labels, the others are of preferences between two responses (train/losses.h).
enum class HeadLoss { mse, bradley_terry, margin, scaled };
template <>
struct EnumNames<HeadLoss> {
  static constexpr std::array<std::pair<HeadLoss, std::string_view>, 4> table{
      {{HeadLoss::mse, "mse"},
       {HeadLoss::bradley_terry, "bradley_terry"},
       {HeadLoss::margin, "margin"},
       {HeadLoss::scaled, "scaled"}}};
};
inline bool is_pairwise(HeadLoss loss) { return loss != HeadLoss::mse; }
// Which hidden states a regression head reads: that of the last token, or the mean of those of the scored turn, from
// the first token of its value to the last token of the input.
enum class HeadPooling { last, mean };
template <>
struct EnumNames<HeadPooling> {
  static constexpr std::array<std::pair<HeadPooling, std::string_view>, 2> table{
      {{HeadPooling::last, "last"}, {HeadPooling::mean, "mean"}}};
};

// Low-rank adaptation (Hu et al. 2021): of each target y = W x + alpha / rank * B A x only A (rank, in) and B (out,
// rank) are trained. Names and meaning are those of PEFT's LoraConfig.
inline constexpr std::array<std::string_view, 7> lora_projections{"q_proj",    "k_proj",  "v_proj",   "o_proj",
                                                                  "gate_proj", "up_proj", "down_proj"};

struct LoraOptions {
  std::int64_t rank = 8;
  double alpha = 16;
  std::vector<std::string> targets{lora_projections.begin(), lora_projections.end()};

  double scale() const { return alpha / static_cast<double>(rank); }
  void fields(auto& field) {
    field("rank", rank, between(1, 65536), "width of the two small matrices");
    field("alpha", alpha, above(0), "the update is scaled by alpha / rank");
    field("targets", targets,
          "projections that are adapted: q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
  }
};

struct HeadOptions {
  HeadKind kind = HeadKind::regression;
  HeadLoss loss = HeadLoss::mse;
  bool bias = true;
  HeadPooling pooling = HeadPooling::last;

  void fields(auto& field) {
    field("kind", kind, "regression: a linear layer on hidden states; language_model: writes the label string");
    field("loss", loss,
          "loss of the regression head: mse of labels; bradley_terry, margin and scaled are of preference pairs");
    field("bias", bias, "false: a head without bias, as Transformers' sequence classification has it");
    field("pooling", pooling,
          "hidden states that a regression head reads: the last token's, or the scored turn's mean");
  }
};

}  // namespace steerlm
