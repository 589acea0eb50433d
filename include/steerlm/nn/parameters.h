// The weights of a model, by Hugging Face's names. The same struct holds gradients and AdamW's moments.
// d width, h query heads, g key/value heads, e head width, f FFN width, v vocabulary, a attributes.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "steerlm/nn/options.h"

namespace steerlm {

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;

struct BlockParameters {
  at::Tensor input_norm_d;      // input_layernorm.weight
  at::Tensor q_hd;              // self_attn.q_proj.weight (h*e, d)
  at::Tensor k_gd;              // self_attn.k_proj.weight (g*e, d)
  at::Tensor v_gd;              // self_attn.v_proj.weight (g*e, d)
  at::Tensor o_dh;              // self_attn.o_proj.weight (d, h*e)
  at::Tensor attention_norm_d;  // post_attention_layernorm.weight
  at::Tensor gate_fd;           // mlp.gate_proj.weight
  at::Tensor up_fd;             // mlp.up_proj.weight
  at::Tensor down_df;           // mlp.down_proj.weight
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

// Calls f(name, tensor&) for every parameter that this model has, in one fixed order.
template <class P, class Function>
void for_each_parameter(P& parameters, Function&& f) {
  const auto visit = [&](const std::string& name, auto& tensor) {
    if (tensor.defined()) f(name, tensor);
  };
  visit("model.embed_tokens.weight", parameters.embedding_vd);
  for (size_t i = 0; i < parameters.blocks.size(); ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    auto& block = parameters.blocks[i];
    visit(prefix + "input_layernorm.weight", block.input_norm_d);
    visit(prefix + "self_attn.q_proj.weight", block.q_hd);
    visit(prefix + "self_attn.k_proj.weight", block.k_gd);
    visit(prefix + "self_attn.v_proj.weight", block.v_gd);
    visit(prefix + "self_attn.o_proj.weight", block.o_dh);
    visit(prefix + "post_attention_layernorm.weight", block.attention_norm_d);
    visit(prefix + "mlp.gate_proj.weight", block.gate_fd);
    visit(prefix + "mlp.up_proj.weight", block.up_fd);
    visit(prefix + "mlp.down_proj.weight", block.down_df);
  }
  visit("model.norm.weight", parameters.norm_d);
  visit("lm_head.weight", parameters.lm_head_vd);
  visit("score.weight", parameters.score_ad);
  visit("score.bias", parameters.score_bias_a);
}

// Which head a set of parameters has: none (the trunk alone), the language model's, or one row an attribute.
struct HeadShape {
  bool language_model = false;
  std::int64_t attributes = 0;
  bool bias = false;
};

// Names and shapes, in for_each_parameter's order.
std::vector<std::pair<std::string, std::vector<std::int64_t>>> parameter_shapes(const ModelConfig& config, const HeadShape& head);

// Takes the tensors of parameter_shapes out of `tensors` (shared, not copied) in any order; throws std::logic_error when one is missing.
Parameters parameters_from(const ModelConfig& config, const HeadShape& head, const NamedTensors& tensors);
NamedTensors to_named_tensors(const Parameters& parameters);
std::vector<at::Tensor> to_list(const Parameters& parameters);

// Zeros of the same shapes in `dtype`.
Parameters zeros_like(const Parameters& parameters, at::ScalarType dtype);
// The same values in `dtype`; shares storage where the dtype is already right.
Parameters cast(const Parameters& parameters, at::ScalarType dtype);

}  // namespace steerlm
