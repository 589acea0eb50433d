#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "steerlm/core/fields.h"

namespace steerlm {

// A decoder-only transformer of the Llama family; the names are those of Hugging Face's config.json.
struct ModelConfig {
  std::int64_t vocab_size = 0;  // 0 in a recipe: the tokenizer's
  std::int64_t hidden_size = 128;
  std::int64_t intermediate_size = 0;    // 0 in a recipe: 8/3 hidden_size, rounded up to a multiple of 32
  std::int64_t num_hidden_layers = 4;
  std::int64_t num_attention_heads = 4;
  std::int64_t num_key_value_heads = 0;  // 0 in a recipe: num_attention_heads
  std::int64_t head_dim = 0;             // 0: hidden_size / num_attention_heads
  std::int64_t max_position_embeddings = 0;  // 0 in a recipe: the larger of 4096 and data.max_tokens
  double rope_theta = 10000.0;
  double rms_norm_eps = 1e-5;
  bool tie_word_embeddings = false;
  double initializer_range = 0.02;

  void fields(auto& field) {
    field("vocab_size", vocab_size, at_least(0), "rows of the embedding; 0: the tokenizer's pieces");
    field("hidden_size", hidden_size, at_least(1), "width of the model");
    field("intermediate_size", intermediate_size, at_least(0), "width of the feed-forward layer; 0: 8/3 of hidden_size");
    field("num_hidden_layers", num_hidden_layers, at_least(1), "number of blocks");
    field("num_attention_heads", num_attention_heads, at_least(1), "query heads");
    field("num_key_value_heads", num_key_value_heads, at_least(0), "key and value heads; 0: as many as query heads");
    field("head_dim", head_dim, at_least(0), "width of a head; 0: hidden_size / num_attention_heads");
    field("max_position_embeddings", max_position_embeddings, at_least(0), "longest context; 0: the larger of 4096 and data.max_tokens");
    field("rope_theta", rope_theta, above(0), "base of the rotary frequencies");
    field("rms_norm_eps", rms_norm_eps, above(0), "epsilon of RMSNorm");
    field("tie_word_embeddings", tie_word_embeddings, "the output layer is the embedding");
    field("initializer_range", initializer_range, above(0), "standard deviation of fresh weights");
  }
};

enum class HeadKind { language_model, regression };
template <>
struct EnumNames<HeadKind> {
  static constexpr std::array<std::pair<HeadKind, std::string_view>, 2> table{
      {{HeadKind::language_model, "language_model"}, {HeadKind::regression, "regression"}}};
};
enum class HeadLoss { mse };
template <>
struct EnumNames<HeadLoss> {
  static constexpr std::array<std::pair<HeadLoss, std::string_view>, 1> table{{{HeadLoss::mse, "mse"}}};
};

struct HeadOptions {
  HeadKind kind = HeadKind::regression;
  HeadLoss loss = HeadLoss::mse;
  bool bias = true;

  void fields(auto& field) {
    field("kind", kind, "regression: a linear layer on the last token; language_model: writes the label string");
    field("loss", loss, "loss of the regression head");
    field("bias", bias, "false: a head without bias, as Transformers' sequence classification has it");
  }
};

}  // namespace steerlm
