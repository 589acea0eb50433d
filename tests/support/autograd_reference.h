// The oracle of the gradient tests: the same transformer as a composition of differentiable ATen operations, sequence
// by sequence, with gradients from ATen's autograd. Written from the definitions, shares nothing with src/.
#pragma once

#include <torch/torch.h>

#include <cmath>
#include <string>
#include <unordered_map>
#include <vector>

#include "steerlm/nn/parameters.h"

namespace steerlm::reference {

using Weights = std::unordered_map<std::string, torch::Tensor>;

inline torch::Tensor rms_norm(const torch::Tensor& x, const torch::Tensor& w, double eps) {
  return x * torch::rsqrt(x.pow(2).mean(-1, true) + eps) * w;
}

// x (t, h, e); component i turns with i + e/2. Frequencies are kept in fp32, as in Transformers, angles at least in
// fp32.
inline torch::Tensor rotate(const torch::Tensor& x, double theta, double attention_factor) {
  const auto t = x.size(0), e = x.size(2);
  const auto wide = x.scalar_type() == torch::kDouble ? torch::kDouble : torch::kFloat;
  const auto frequency =
      torch::pow(theta, -torch::arange(0, e, 2, torch::kDouble) / static_cast<double>(e)).to(torch::kFloat).to(wide);
  const auto angle = torch::outer(torch::arange(t, x.options().dtype(wide)), frequency).unsqueeze(1);
  const auto cos = (angle.cos() * attention_factor).to(x.dtype()), sin = (angle.sin() * attention_factor).to(x.dtype());
  const auto first = x.slice(2, 0, e / 2), second = x.slice(2, e / 2, e);
  return torch::cat({first * cos - second * sin, second * cos + first * sin}, 2);
}

// x W^T + bias + lora_scale (x A^T) B^T
inline torch::Tensor linear(const Weights& w, const std::string& name, double lora_scale, const torch::Tensor& x) {
  auto y = x.matmul(w.at(name + ".weight").t());
  if (w.contains(name + ".bias")) y = y + w.at(name + ".bias");
  if (w.contains(name + ".lora_A.weight")) {
    y = y + lora_scale * x.matmul(w.at(name + ".lora_A.weight").t()).matmul(w.at(name + ".lora_B.weight").t());
  }
  return y;
}

// Hidden states (t, d) of one sequence after the final norm.
inline torch::Tensor hidden(const ModelConfig& c, const Weights& w, const std::vector<std::int64_t>& ids,
                            double lora_scale = 0) {
  const auto t = static_cast<std::int64_t>(ids.size());
  const double attention_factor = c.rope_scaling.attention_factor.value_or(1);
  auto x = w.at("model.embed_tokens.weight").index_select(0, torch::tensor(ids, torch::kLong));
  for (std::int64_t l = 0; l < c.num_hidden_layers; ++l) {
    const std::string p = "model.layers." + std::to_string(l) + ".";
    const auto project = [&](const char* name, const torch::Tensor& input) {
      return linear(w, p + name, lora_scale, input);
    };
    const auto a = rms_norm(x, w.at(p + "input_layernorm.weight"), c.rms_norm_eps);
    auto q = project("self_attn.q_proj", a).view({t, c.num_attention_heads, c.head_dim});
    auto k = project("self_attn.k_proj", a).view({t, c.num_key_value_heads, c.head_dim});
    auto v = project("self_attn.v_proj", a).view({t, c.num_key_value_heads, c.head_dim});
    if (c.qk_norm) {
      q = rms_norm(q, w.at(p + "self_attn.q_norm.weight"), c.rms_norm_eps);
      k = rms_norm(k, w.at(p + "self_attn.k_norm.weight"), c.rms_norm_eps);
    }
    const auto share = c.num_attention_heads / c.num_key_value_heads;
    q = rotate(q, c.rope_theta, attention_factor).transpose(0, 1);
    k = rotate(k, c.rope_theta, attention_factor).repeat_interleave(share, 1).transpose(0, 1);
    v = v.repeat_interleave(share, 1).transpose(0, 1);
    const auto distance = torch::arange(t).unsqueeze(1) - torch::arange(t).unsqueeze(0);
    auto unseen = distance < 0;
    if (c.window(l) > 0) unseen = unseen | (distance >= c.window(l));
    const auto scores = q.matmul(k.transpose(1, 2)) / std::sqrt(static_cast<double>(c.head_dim));
    const auto p_htt = torch::softmax(scores.masked_fill(unseen, -std::numeric_limits<double>::infinity()), -1);
    const auto out = p_htt.matmul(v).transpose(0, 1).reshape({t, -1});
    x = x + project("self_attn.o_proj", out);
    const auto b = rms_norm(x, w.at(p + "post_attention_layernorm.weight"), c.rms_norm_eps);
    const auto gate = project("mlp.gate_proj", b), up = project("mlp.up_proj", b);
    x = x + project("mlp.down_proj", gate * torch::sigmoid(gate) * up);
  }
  return rms_norm(x, w.at("model.norm.weight"), c.rms_norm_eps);
}

}  // namespace steerlm::reference
