// An untrained model of two blocks over a fixture's vocabulary.
#pragma once

#include "steerlm/core/fs.h"
#include "steerlm/nn/init.h"
#include "steerlm/nn/transformer.h"

namespace steerlm {

inline const Path tokenizer_file =
    Path(STEERLM_SOURCE_DIR) / "tests" / "fixtures" / "models" / "untied" / "tokenizer.model";

inline Transformer small_model(
    std::int64_t vocab_size, void (*edit)(ModelConfig&) = [](ModelConfig&) {}) {
  ModelConfig config{.vocab_size = vocab_size,
                     .hidden_size = 32,
                     .intermediate_size = 64,
                     .num_hidden_layers = 2,
                     .num_attention_heads = 4,
                     .num_key_value_heads = 2,
                     .initializer_range = 0.2};
  config = complete_config(config, vocab_size, 64);
  config.max_position_embeddings = 64;
  edit(config);
  return {config,
          parameters_from(config, {.language_model = true}, init_parameters(config, {.language_model = true}, 1))};
}

}  // namespace steerlm
