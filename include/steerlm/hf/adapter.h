// A LoRA adapter as PEFT writes and reads it: adapter_config.json and adapter_model.safetensors in a folder of their
// own. Untrusted input.
#pragma once

#include <string>

#include "steerlm/core/fs.h"
#include "steerlm/core/json.h"
#include "steerlm/nn/parameters.h"

namespace steerlm {

struct Adapter {
  std::string base;  // base_model_name_or_path: the folder that it adapts, as it was given
  LoraOptions lora;
  HeadKind head = HeadKind::language_model;  // task_type CAUSAL_LM, or SEQ_CLS with a score of its own
};

// Whether the folder is an adapter: it has an adapter_config.json, and no model of its own: no config.json, or one that
// a program left beside the adapter's weights.
bool is_adapter_folder(const Path& folder);

// Throws model for another method than LoRA, a variant of it that is not implemented (DoRA, rank by layer, biases …),
// an initialisation that changes the base (PiSSA, OLoRA …), a key that is not known, or a base that is not named.
// `lora.alpha` is the one that gives the scale as alpha / rank, also with use_rslora.
Adapter read_adapter_config(const Path& folder);
Json dump_adapter_config(const Adapter& adapter);

// Rows of the score that an adapter of a predictor brings with it; 0 for one of a language model. `bias`: whether there
// is score.bias.
HeadShape adapter_head(const Path& folder, const Adapter& adapter);

// A and B of every target, and score, by Hugging Face's names of the model
// (model.layers.0.self_attn.q_proj.lora_A.weight), each in the dtype that it is stored in. Throws model where a tensor
// is missing, left over or of another shape than `config` gives it.
NamedTensors read_adapter_tensors(const Path& folder, const Adapter& adapter, const ModelConfig& config);

// The same checks from the file's header alone; also throws model for an embedding that the adapter brings with it.
void check_adapter_tensors(const Path& folder, const Adapter& adapter, const ModelConfig& config);

// The same under PEFT's names, which adapter_model.safetensors has.
NamedTensors with_peft_names(const NamedTensors& tensors);

}  // namespace steerlm
