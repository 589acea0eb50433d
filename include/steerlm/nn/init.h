#pragma once

#include "steerlm/nn/parameters.h"

namespace steerlm {

// Fills in what a recipe may leave at 0 (vocab_size, intermediate_size, num_key_value_heads, head_dim,
// max_position_embeddings). Throws recipe where the numbers do not fit together.
ModelConfig complete_config(ModelConfig config, std::int64_t tokenizer_pieces, std::int64_t max_tokens);

// Fresh fp32 weights: matrices normal(0, initializer_range), norms 1, biases 0. A weight depends on (seed, parameter
// name, index) only, so that two models share what they have in common.
NamedTensors init_parameters(const ModelConfig& config, const HeadShape& head, std::uint64_t seed);

// Only the head of an attribute predictor, for a trunk that is already there.
NamedTensors init_score_head(const ModelConfig& config, const HeadShape& head, std::uint64_t seed);

// Fresh LoRA matrices (Hu et al. 2021 as PEFT has it): A uniform within 1 / sqrt(in), B zero, so that the adapted model
// is the base.
NamedTensors init_lora(const ModelConfig& config, const LoraOptions& lora, std::uint64_t seed);

}  // namespace steerlm
