#include "steerlm/nn/parameters.h"

#include <ATen/ops/zeros.h>

#include <stdexcept>
#include <unordered_map>

namespace steerlm {

std::vector<std::pair<std::string, std::vector<std::int64_t>>> parameter_shapes(const ModelConfig& c, const HeadShape& head) {
  const std::int64_t d = c.hidden_size, f = c.intermediate_size, v = c.vocab_size;
  const std::int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  std::vector<std::pair<std::string, std::vector<std::int64_t>>> shapes;
  shapes.push_back({"model.embed_tokens.weight", {v, d}});
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    shapes.push_back({prefix + "input_layernorm.weight", {d}});
    shapes.push_back({prefix + "self_attn.q_proj.weight", {q, d}});
    shapes.push_back({prefix + "self_attn.k_proj.weight", {kv, d}});
    shapes.push_back({prefix + "self_attn.v_proj.weight", {kv, d}});
    shapes.push_back({prefix + "self_attn.o_proj.weight", {d, q}});
    shapes.push_back({prefix + "post_attention_layernorm.weight", {d}});
    shapes.push_back({prefix + "mlp.gate_proj.weight", {f, d}});
    shapes.push_back({prefix + "mlp.up_proj.weight", {f, d}});
    shapes.push_back({prefix + "mlp.down_proj.weight", {d, f}});
  }
  shapes.push_back({"model.norm.weight", {d}});
  if (head.language_model && !c.tie_word_embeddings) shapes.push_back({"lm_head.weight", {v, d}});
  if (head.attributes > 0) shapes.push_back({"score.weight", {head.attributes, d}});
  if (head.attributes > 0 && head.bias) shapes.push_back({"score.bias", {head.attributes}});
  return shapes;
}

Parameters parameters_from(const ModelConfig& config, const HeadShape& head, const NamedTensors& tensors) {
  std::unordered_map<std::string, at::Tensor> by_name(tensors.begin(), tensors.end());
  Parameters parameters;
  parameters.blocks.resize(static_cast<size_t>(config.num_hidden_layers));
  // Defined placeholders, so that for_each_parameter visits exactly what this model has; each is replaced below.
  const at::Tensor any = at::zeros({0});
  parameters.lm_head_vd = head.language_model && !config.tie_word_embeddings ? any : at::Tensor();
  parameters.score_ad = head.attributes > 0 ? any : at::Tensor();
  parameters.score_bias_a = head.attributes > 0 && head.bias ? any : at::Tensor();
  parameters.embedding_vd = parameters.norm_d = any;
  for (BlockParameters& b : parameters.blocks) {
    b = {any, any, any, any, any, any, any, any, any};
  }
  for_each_parameter(parameters, [&](const std::string& name, at::Tensor& tensor) {
    const auto found = by_name.find(name);
    if (found == by_name.end()) throw std::logic_error("parameter " + name + " is missing");
    tensor = found->second;
  });
  return parameters;
}

NamedTensors to_named_tensors(const Parameters& parameters) {
  NamedTensors tensors;
  for_each_parameter(parameters, [&](const std::string& name, const at::Tensor& tensor) { tensors.emplace_back(name, tensor); });
  return tensors;
}

std::vector<at::Tensor> to_list(const Parameters& parameters) {
  std::vector<at::Tensor> list;
  for_each_parameter(parameters, [&](const std::string&, const at::Tensor& tensor) { list.push_back(tensor); });
  return list;
}

Parameters zeros_like(const Parameters& parameters, at::ScalarType dtype) {
  Parameters result = parameters;
  for_each_parameter(result, [&](const std::string&, at::Tensor& tensor) { tensor = at::zeros(tensor.sizes(), dtype); });
  return result;
}

Parameters cast(const Parameters& parameters, at::ScalarType dtype) {
  Parameters result = parameters;
  for_each_parameter(result, [&](const std::string&, at::Tensor& tensor) { tensor = tensor.to(dtype); });
  return result;
}

}  // namespace steerlm
