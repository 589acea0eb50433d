// The weights of a model, by Hugging Face's names. The same struct holds gradients and AdamW's moments; a tensor that
// the model does not have, or that is not trained, is undefined.
// d width, h query heads, g key/value heads, e head width, f FFN width, v vocabulary, a attributes, r LoRA rank, i in,
// o out.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <utility>
#include <vector>

#include "steerlm/nn/options.h"

namespace steerlm {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

// y = W x + bias + lora_scale * B A x
struct LinearParameters {
  at::Tensor weight_oi;
  at::Tensor bias_o;
  at::Tensor lora_a_ri;
  at::Tensor lora_b_or;
  double lora_scale = 0;
};

struct BlockParameters {
  at::Tensor input_norm_d;      // input_layernorm.weight
  LinearParameters q;           // self_attn.q_proj (h*e, d)
  LinearParameters k;           // self_attn.k_proj (g*e, d)
  LinearParameters v;           // self_attn.v_proj (g*e, d)
  at::Tensor q_norm_e;          // self_attn.q_norm.weight
  at::Tensor k_norm_e;          // self_attn.k_norm.weight
  LinearParameters o;           // self_attn.o_proj (d, h*e)
  at::Tensor attention_norm_d;  // post_attention_layernorm.weight
  LinearParameters gate;        // mlp.gate_proj (f, d)
  LinearParameters up;          // mlp.up_proj (f, d)
  LinearParameters down;        // mlp.down_proj (d, f)
};

struct Parameters {
  at::Tensor embedding_vd;  // model.embed_tokens.weight
  std::vector<BlockParameters> blocks;
  at::Tensor norm_d;        // model.norm.weight
  at::Tensor lm_head_vd;    // lm_head.weight; undefined with tied embeddings or an attribute head
  at::Tensor score_ad;      // score.weight; undefined without an attribute head
  at::Tensor score_bias_a;  // score.bias; undefined without

  // The output layer of a language model: lm_head, or the embedding where they are tied.
  const at::Tensor& output_vd() const { return lm_head_vd.defined() ? lm_head_vd : embedding_vd; }
  at::Tensor& output_vd() { return lm_head_vd.defined() ? lm_head_vd : embedding_vd; }
};

// Calls f(name, tensor&) for every place that a parameter can have, in one fixed order, undefined ones too.
template <class P, class Function>
void for_each_place(P& parameters, Function&& f) {
  const auto linear = [&](const std::string& name, auto& weights) {
    f(name + ".weight", weights.weight_oi);
    f(name + ".bias", weights.bias_o);
    f(name + ".lora_A.weight", weights.lora_a_ri);
    f(name + ".lora_B.weight", weights.lora_b_or);
  };
  f("model.embed_tokens.weight", parameters.embedding_vd);
  for (size_t i = 0; i < parameters.blocks.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    auto& block = parameters.blocks[i];
    f(prefix + "input_layernorm.weight", block.input_norm_d);
    linear(prefix + "self_attn.q_proj", block.q);
    linear(prefix + "self_attn.k_proj", block.k);
    linear(prefix + "self_attn.v_proj", block.v);
    f(prefix + "self_attn.q_norm.weight", block.q_norm_e);
    f(prefix + "self_attn.k_norm.weight", block.k_norm_e);
    linear(prefix + "self_attn.o_proj", block.o);
    f(prefix + "post_attention_layernorm.weight", block.attention_norm_d);
    linear(prefix + "mlp.gate_proj", block.gate);
    linear(prefix + "mlp.up_proj", block.up);
    linear(prefix + "mlp.down_proj", block.down);
  }
  f("model.norm.weight", parameters.norm_d);
  f("lm_head.weight", parameters.lm_head_vd);
  f("score.weight", parameters.score_ad);
  f("score.bias", parameters.score_bias_a);
}

// Those that are there.
template <class P, class Function>
void for_each_parameter(P& parameters, Function&& f) {
  for_each_place(parameters, [&](const std::string& name, auto& tensor) {
    if (tensor.defined()) f(name, tensor);
  });
}

// Which head a set of parameters has: none (the trunk alone), the language model's, or one row an attribute.
struct HeadShape {
  bool language_model = false;
  std::int64_t attributes = 0;
  bool bias = false;
};

using NamedShapes = std::vector<std::pair<std::string, std::vector<std::int64_t>>>;

// Names and shapes of a whole model, in for_each_parameter's order.
NamedShapes parameter_shapes(const ModelConfig& config, const HeadShape& head);
// Those that LoRA adds. Throws recipe for a target that is no projection, or none.
NamedShapes lora_shapes(const ModelConfig& config, const LoraOptions& lora);

// Takes what the model has out of `tensors` (shared, not copied) in any order, and LoRA's matrices where they are among
// them; throws std::logic_error when one of parameter_shapes is missing.
Parameters parameters_from(const ModelConfig& config, const HeadShape& head, const NamedTensors& tensors);
NamedTensors to_named_tensors(const Parameters& parameters);
std::vector<at::Tensor> to_list(const Parameters& parameters);

// The parameters that `wanted` picks by name; the others are undefined.
Parameters select(const Parameters& parameters, const std::function<bool(const std::string& name)>& wanted);
// `base` with those of `top` that are there in their place.
Parameters overlay(Parameters base, const Parameters& top);

bool is_lora_matrix(const std::string& name);  // A or B
// Whether LoRA trains the parameter of this name: its own matrices, and a predictor's score.
bool is_trained_by_lora(const std::string& name);
// Adds the LoRA matrices of `tensors` to a whole model.
Parameters with_lora(Parameters parameters, const LoraOptions& lora, const NamedTensors& tensors);

}  // namespace steerlm
