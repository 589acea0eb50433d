#include "steerlm/nn/parameters.h"

#include <algorithm>
#include <stdexcept>
#include <unordered_map>

#include "steerlm/core/error.h"
#include "steerlm/core/suggest.h"

namespace steerlm {
namespace {

struct Projection {
  const char* name;
  std::int64_t out, in;
  bool bias;
};

std::vector<Projection> projections(const ModelConfig& c) {
  const std::int64_t d = c.hidden_size, f = c.intermediate_size;
  const std::int64_t q = c.num_attention_heads * c.head_dim, kv = c.num_key_value_heads * c.head_dim;
  return {{"self_attn.q_proj", q, d, c.qkv_bias},  {"self_attn.k_proj", kv, d, c.qkv_bias},
          {"self_attn.v_proj", kv, d, c.qkv_bias}, {"self_attn.o_proj", d, q, c.o_bias},
          {"mlp.gate_proj", f, d, c.mlp_bias},     {"mlp.up_proj", f, d, c.mlp_bias},
          {"mlp.down_proj", d, f, c.mlp_bias}};
}

template <class Function>
void for_each_linear(BlockParameters& block, Function&& f) {
  for (LinearParameters* linear : {&block.q, &block.k, &block.v, &block.o, &block.gate, &block.up, &block.down})
    f(*linear);
}

}  // namespace

NamedShapes parameter_shapes(const ModelConfig& c, const HeadShape& head) {
  const std::int64_t d = c.hidden_size, v = c.vocab_size;
  NamedShapes shapes;
  shapes.push_back({"model.embed_tokens.weight", {v, d}});
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    const std::string prefix = "model.layers." + std::to_string(i) + ".";
    shapes.push_back({prefix + "input_layernorm.weight", {d}});
    for (const Projection& projection : projections(c)) {
      const std::string name = projection.name;
      if (name == "self_attn.o_proj" && c.qk_norm) {
        shapes.push_back({prefix + "self_attn.q_norm.weight", {c.head_dim}});
        shapes.push_back({prefix + "self_attn.k_norm.weight", {c.head_dim}});
      }
      if (name == "mlp.gate_proj") shapes.push_back({prefix + "post_attention_layernorm.weight", {d}});
      shapes.push_back({prefix + name + ".weight", {projection.out, projection.in}});
      if (projection.bias) shapes.push_back({prefix + name + ".bias", {projection.out}});
    }
  }
  shapes.push_back({"model.norm.weight", {d}});
  if (head.language_model && !c.tie_word_embeddings) shapes.push_back({"lm_head.weight", {v, d}});
  if (head.attributes > 0) shapes.push_back({"score.weight", {head.attributes, d}});
  if (head.attributes > 0 && head.bias) shapes.push_back({"score.bias", {head.attributes}});
  return shapes;
}

NamedShapes lora_shapes(const ModelConfig& c, const LoraOptions& lora) {
  const std::vector<Projection> all = projections(c);
  std::vector<std::string> names;
  for (const Projection& projection : all)
    names.push_back(std::string(projection.name).substr(std::string(projection.name).find('.') + 1));
  for (const std::string& target : lora.targets) {
    if (std::ranges::find(names, target) != names.end()) continue;
    fail(ExitCode::recipe, {.what = "LoRA cannot adapt '" + target + "'",
                            .where = "lora.targets",
                            .expected = "some of " + join(names),
                            .advice = suggest(target, names)});
  }
  if (lora.targets.empty())
    fail(ExitCode::recipe,
         {.what = "LoRA has nothing to adapt", .where = "lora.targets", .expected = "some of " + join(names)});
  NamedShapes shapes;
  for (std::int64_t i = 0; i < c.num_hidden_layers; ++i) {
    for (size_t p = 0; p < all.size(); ++p) {
      if (std::ranges::find(lora.targets, names[p]) == lora.targets.end()) continue;
      const std::string prefix = "model.layers." + std::to_string(i) + "." + all[p].name;
      shapes.push_back({prefix + ".lora_A.weight", {lora.rank, all[p].in}});
      shapes.push_back({prefix + ".lora_B.weight", {all[p].out, lora.rank}});
    }
  }
  return shapes;
}

Parameters parameters_from(const ModelConfig& config, const HeadShape& head, const NamedTensors& tensors) {
  const std::unordered_map<std::string, at::Tensor> by_name(tensors.begin(), tensors.end());
  for (const auto& [name, shape] : parameter_shapes(config, head)) {
    if (!by_name.contains(name)) throw std::logic_error("parameter " + name + " is missing");
  }
  Parameters parameters;
  parameters.blocks.resize(static_cast<size_t>(config.num_hidden_layers));
  for_each_place(parameters, [&](const std::string& name, at::Tensor& tensor) {
    if (const auto found = by_name.find(name); found != by_name.end()) tensor = found->second;
  });
  return parameters;
}

NamedTensors to_named_tensors(const Parameters& parameters) {
  NamedTensors tensors;
  for_each_parameter(parameters,
                     [&](const std::string& name, const at::Tensor& tensor) { tensors.emplace_back(name, tensor); });
  return tensors;
}

std::vector<at::Tensor> to_list(const Parameters& parameters) {
  std::vector<at::Tensor> list;
  for_each_parameter(parameters, [&](const std::string&, const at::Tensor& tensor) { list.push_back(tensor); });
  return list;
}

Parameters select(const Parameters& parameters, const std::function<bool(const std::string& name)>& wanted) {
  Parameters result = parameters;
  for_each_parameter(result, [&](const std::string& name, at::Tensor& tensor) {
    if (!wanted(name)) tensor.reset();
  });
  return result;
}

Parameters overlay(Parameters base, const Parameters& top) {
  std::vector<at::Tensor> places;
  for_each_place(top, [&](const std::string&, const at::Tensor& tensor) { places.push_back(tensor); });
  size_t i = 0;
  for_each_place(base, [&](const std::string&, at::Tensor& tensor) {
    if (places[i].defined()) tensor = places[i];
    ++i;
  });
  return base;
}

bool is_lora_matrix(const std::string& name) { return name.find(".lora_") != std::string::npos; }
bool is_trained_by_lora(const std::string& name) { return is_lora_matrix(name) || name.starts_with("score."); }

Parameters with_lora(Parameters parameters, const LoraOptions& lora, const NamedTensors& tensors) {
  const std::unordered_map<std::string, at::Tensor> by_name(tensors.begin(), tensors.end());
  for_each_place(parameters, [&](const std::string& name, at::Tensor& tensor) {
    const auto found = by_name.find(name);
    if (found != by_name.end() && is_lora_matrix(name)) tensor = found->second;
  });
  for (BlockParameters& block : parameters.blocks) {
    for_each_linear(block, [&](LinearParameters& linear) {
      if (linear.lora_a_ri.defined()) linear.lora_scale = lora.scale();
    });
  }
  return parameters;
}

}  // namespace steerlm
