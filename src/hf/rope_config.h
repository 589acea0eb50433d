// How config.json says what the rotary embedding is: rope_theta and rope_scaling (Transformers 4), rope_parameters (5).
#pragma once

#include "steerlm/core/json_fields.h"
#include "steerlm/nn/options.h"

namespace steerlm {

// Sets rope_theta and rope_scaling. max_position_embeddings is set already. Throws model.
void read_rope(JsonFields& reader, ModelConfig& model);

// The older spelling, which both versions read.
void dump_rope(const ModelConfig& model, Json& json);

}  // namespace steerlm
