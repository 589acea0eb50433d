// The shape of a Llama of two narrow blocks with grouped queries, for tests that need any model.
#pragma once

#include "steerlm/nn/options.h"

namespace steerlm {

inline ModelConfig small_llama(std::int64_t vocab_size, double initializer_range) {
  ModelConfig config;
  config.vocab_size = vocab_size;
  config.hidden_size = 16;
  config.intermediate_size = 24;
  config.num_hidden_layers = 2;
  config.num_attention_heads = 4;
  config.num_key_value_heads = 2;
  config.head_dim = 4;
  config.max_position_embeddings = 64;
  config.initializer_range = initializer_range;
  return config;
}

}  // namespace steerlm
